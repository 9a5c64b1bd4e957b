"""A search for several devices on the pages: asked for with a target each, seen with a front and a bundle of each."""

import shlex
from datetime import UTC, datetime

import pytest
import stories
from test_pages import checked, labelled, run_page, search_page, written

from app import source
from app.command_line import command_of
from data.records import ArtifactRef, DeviceLatency
from data.store import open_store
from engine.settings import Settings

RUN = "20261121-110000-pair"
PHONE = "galaxy-s20"


@pytest.fixture
def told_of_two(empty):
    """A run for this machine and a phone, whose fronts differ: the second trial is the phone's slowest."""
    with open_store() as store:
        stories.begin(store, RUN, also={PHONE: 40.0}, predicted=[PHONE])
        trials = [stories.trial(RUN, number) for number in (1, 2, 4)]
        phone = [
            DeviceLatency(RUN, each.trial, PHONE, 10.0 * each.trial, 8.0 * each.trial, 12.5 * each.trial, "predicted")
            for each in trials
        ]
        assert store.commit_step(RUN, 0, state={}, status="done", trials=trials, latencies=phone)
        for device, latency_ms in (("host", 4.71), (PHONE, 20.0)):
            name = f"pocketformer-stsb-L4-H384-A12-F1536-{device}@{latency_ms}ms.zip"
            store.add_artifact(ArtifactRef("0" * 64, name, "bundle", 1000, RUN, 2, datetime.now(UTC)))
    return empty


def test_each_device_has_its_front_and_limit(told_of_two):
    first, phone = source.snapshot(RUN), source.snapshot_on(RUN, PHONE)
    assert first.devices == {"host": 5.0, PHONE: 40.0}
    assert [each.latency_ms for each in phone.trials] == [10.0, 20.0, 40.0]
    assert {each.latency_source for each in phone.front} == {"predicted"}
    assert phone.run.settings["latency_ms"] == 40.0
    assert [each.trial for each in first.front] != [each.trial for each in phone.front]


def test_the_run_page_shows_one_device_at_a_time_and_offers_each_bundle(told_of_two):
    app = run_page(RUN)
    assert app.title[0].value == r"stsb on host, galaxy\-s20"
    assert "target 5 ms" in written(app)
    assert [source.snapshot(RUN).device_of(each) for each in source.snapshot(RUN).bundles] == ["host", PHONE]
    shown = run_page(RUN, on=PHONE)
    assert "target 40 ms" in written(shown)
    assert "predicted on galaxy" in written(shown)


def test_search_asks_for_a_target_on_each_further_device(empty):
    app = search_page(task="cola")
    checked(labelled(app.multiselect, "Also for").select(PHONE).run())
    assert labelled(app.number_input, f"Target on {PHONE} (ms)").value == 40.0
    command = next(code.value for code in app.code if code.value.startswith("pocketformer"))
    assert f"--also {PHONE}=40" in command


def test_a_command_names_each_further_device():
    settings = Settings(also={PHONE: 40.0, "pixel-8": 12.5}, model_mb=30.0)
    words = shlex.split(command_of(settings))
    assert [words[place + 1] for place, word in enumerate(words) if word == "--also"] == [f"{PHONE}=40", "pixel-8=12.5"]
    assert words[words.index("--model-mb") + 1] == "30"
