"""What the Search page says before Start: how much of the space is fast enough, how long it will take, and the same as a command."""

import shlex
from dataclasses import replace

import numpy as np
import pytest

from app import source
from app.cli import parser
from app.command_line import command_of
from app.estimate import estimate
from app.feasible import Reach, reach, reach_figure
from data.records import Duration, Measurement
from engine.settings import Settings


def test_a_share_grows_with_the_limit_and_lies_within_its_interval():
    times = np.array([1.0, 2.0, 3.0, 4.0])
    found = Reach(times, times / 2, times * 2, "made up")
    assert found.share(2.0) == (0.5, 0.25, 1.0)
    assert found.share(0.1) == (0.0, 0.0, 0.0)
    assert found.share(99.0) == (1.0, 1.0, 1.0)


def test_a_slower_device_reaches_less_of_the_space(empty):
    fast, slow = (reach(Settings(device=name)).share(10.0)[0] for name in ("galaxy-s25", "galaxy-s10"))
    assert 0 < slow < fast <= 1


def test_sizes_that_are_given_narrow_the_space(empty):
    whole, shallow = reach(Settings(device="pixel-8")), reach(Settings(device="pixel-8", depths=(1, 2)))
    assert shallow.latency_ms.max() < whole.latency_ms.max()


def test_measured_latencies_correct_the_prediction(empty):
    from engine.architecture import Architecture
    from engine.prediction.predict import predict

    written = [f"L{layers}-H384-A12-F1536" for layers in range(1, 7)]
    for name in written:
        twice = 2 * predict(Architecture.parse(name), "pixel-8").latency_ms
        source.store().add_measurement(Measurement(name, "pixel-8", "fp32", 4, 128, twice, None, None, 100, "measured"))
    corrected = reach(Settings(device="pixel-8"))
    assert "corrected by 6 latencies measured on pixel-8" in corrected.basis
    plain = reach(Settings(device="pixel-8", seq_len=127))  # nothing was measured at that length
    assert "corrected" not in plain.basis
    assert corrected.latency_ms.mean() == pytest.approx(2 * plain.latency_ms.mean(), rel=0.05)


def test_the_figure_has_units_a_band_and_the_target():
    times = np.linspace(1, 9, 50)
    figure = reach_figure(Reach(times, times / 2, times * 2, ""), 5.0)
    assert figure.layout.xaxis.title.text == "Latency (ms)"
    assert figure.layout.annotations[0].text == "target 5 ms"
    assert len(figure.data) == 3


def past(kind, *seconds, task="stsb", epochs=1):
    return [Duration(kind, each, task, epochs, True) for each in seconds]


def test_an_estimate_is_from_the_past_where_there_is_one():
    settings = Settings(task="stsb", trials=10)
    kinds = {"prepare": 5, "compile": 4, "measure": 6, "train": 20, "final_train": 60, "bundle": 15}
    known = [
        each for kind, seconds in kinds.items() for each in past(kind, *[seconds] * 3, epochs=3 if kind == "final_train" else 1)
    ]
    found = estimate(settings, known)
    assert found.seconds == 5 + 10 * 20 + 60 + 15
    assert found.low_s == found.high_s == found.seconds
    assert "18 commands" in found.basis
    assert estimate(replace(settings, early_epochs=2), known).seconds == 5 + 10 * 40 + 60 + 15
    assert estimate(replace(settings, accuracy="supernet"), known).seconds == 5 + 10 * (4 + 6) + 60 + 15


def test_the_same_tasks_past_counts_before_others():
    others = past("train", 500, 500, 500, task="sst2")
    mine = past("train", 20, 20, 20)
    settings = Settings(task="stsb", trials=100)
    assert estimate(settings, others + mine).seconds < estimate(settings, others).seconds


def test_without_a_past_it_is_called_a_guess_and_is_wide():
    found = estimate(Settings(), [])
    assert "a guess" in found.basis
    assert found.low_s < found.seconds < found.high_s


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            task="/a b/x.csv?text=a&label=b", device="pixel-8", latency_ms=7.25, precision="int8", depths=(2, 3), losses=()
        ),
        Settings(task="mrpc,cola", logits_teacher="some/classifier"),
        Settings(trials=30, strategy="tpe", seed=4, text="/text.gz", accuracy="supernet", threads=2),
    ],
)
def test_a_search_as_a_command_gives_the_same_settings(settings):
    words = shlex.split(command_of(settings))
    assert words[0] == "pocketformer"
    args = vars(parser().parse_args(words[1:]))
    given = {name: args[name] for name in Settings.names() if args.get(name) is not None}
    assert Settings.from_dict(given) == settings
