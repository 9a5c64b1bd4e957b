"""A search for several devices at once, in made-up worlds: every limit counts, and the tightest one decides the reward."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from worlds import World

from data.errors import UsageError
from engine.reward import tightest
from engine.search import Do, SearchState, Start, Stop, initial_state, latency_text, step
from engine.settings import Settings

PHONES = {"galaxy-s20": 30.0, "pixel-8": 50.0}
SEARCH = Settings(latency_ms=5.0, also=PHONES, trials=8, strategy="random", phases=2)
SLOWER = {"galaxy-s20": 7.0, "pixel-8": 8.0}  # 4.29 ms on host meet the Galaxy's limit, 6.25 the Pixel's


def begun(world: World, settings: Settings = SEARCH) -> SearchState:
    """The first trial is under way."""
    state = world.feed(initial_state("r", settings), Start())
    return world.feed(state, world.answer(world.queue.pop()))


def asked(world: World) -> list[tuple[str, str | None]]:
    return [(command.kind, command.payload.get("device")) for command in world.queue]


def test_each_candidate_is_compiled_for_every_device_beside_its_training():
    world = World()
    begun(world)
    assert asked(world) == [("compile", "host"), ("compile", "galaxy-s20"), ("compile", "pixel-8"), ("train", None)]
    ids = [command.command_id for command in world.queue]
    assert ids == ["r.1.compile", "r.1.compile.galaxy-s20", "r.1.compile.pixel-8", "r.1.train"]


def test_what_is_predicted_is_asked_first_and_not_compiled():
    world = World()
    begun(world, replace(SEARCH, predicted=("pixel-8",)))
    assert asked(world)[:2] == [("measure", "pixel-8"), ("compile", "host")]
    assert "Latency on pixel-8 is predicted, not measured" in world.said
    assert not any("Latency on host" in line for line in world.said)


def test_one_device_over_its_limit_rules_a_candidate_out_and_the_log_says_which():
    world = World(slower={"galaxy-s20": 1000.0})
    state = begun(world)
    for _ in range(3):  # compiled for all; then host and the Galaxy are timed
        state = world.feed(state, world.answer(world.queue.pop(0)))
    train, host, galaxy, _ = world.queue
    state = world.feed(state, world.answer(host))
    assert state.trials[0].status == "running"
    state, effects = step(state, world.answer(galaxy))
    trial = state.trials[0]
    assert {effect.command_id for effect in effects if isinstance(effect, Stop)} == {train.command_id, "r.1.measure.pixel-8"}
    assert trial.status == "over_limit"
    assert trial.accuracy is None
    seen = trial.others["galaxy-s20"]["latency_ms"]
    assert trial.reason == f"{seen:.2f} ms on galaxy-s20 is over the limit of 30 ms: not trained"
    assert trial.reward == pytest.approx((30 - seen) / 30 - 1)


def test_the_reward_is_that_of_the_tightest_device():
    state = World(slower=SLOWER).run(SEARCH)
    first = next(trial for trial in state.trials if trial.status == "trained")
    others = {device: each["latency_ms"] for device, each in first.others.items()}
    assert set(others) == set(PHONES)
    assert max(first.latency_ms / 5, others["galaxy-s20"] / 30, others["pixel-8"] / 50) == others["galaxy-s20"] / 30
    assert first.reward == pytest.approx(others["galaxy-s20"] / 30)  # A - b of the first one trained is 0


def test_tightest():
    assert tightest({"a": 4.0, "b": 30.0}, {"a": 5.0, "b": 40.0}) == "a"
    assert tightest({"a": 4.0, "b": 39.0}, {"a": 5.0, "b": 40.0}) == "b"
    assert tightest({"b": 1.0}, {"a": 5.0, "b": 40.0}) == "b"


def test_the_best_candidate_gets_a_bundle_for_each_device():
    world = World(slower=SLOWER)
    state = world.run(SEARCH)
    assert state.status == "done"
    best = state.trials[state.best - 1]
    assert best.bundles == {"host": "host.zip", "galaxy-s20": "galaxy-s20.zip", "pixel-8": "pixel-8.zip"}
    known = best.latencies(SEARCH)
    assert list(known) == ["host", "galaxy-s20", "pixel-8"]
    for device, limit_ms in SEARCH.limits.items():
        assert known[device]["latency_ms"] <= limit_ms
        assert f"{latency_text(known[device])} on {device}" in world.said[-1]
    assert world.said[-1].startswith("Done: ")
    assert world.said[-1].endswith(": host.zip, galaxy-s20.zip, pixel-8.zip")


def test_a_bundle_over_one_devices_limit_gives_way_to_the_next_best():
    refused: list[str] = []

    class Slow(World):
        def answer(self, command: Do):
            event = super().answer(command)
            if command.kind == "bundle" and command.payload["device"] == "pixel-8" and not refused:
                refused.append(command.command_id)
                event.result["latency"]["latency_ms"] = 51.0
            return event

    state = Slow(slower=SLOWER).run(SEARCH, pick=lambda count: count - 1)  # the Pixel's bundle before the others
    rejected = next(trial for trial in state.trials if f"r.{trial.trial}.bundle.pixel-8" == refused[0])
    assert rejected.status == "over_limit"
    assert rejected.reason == "with trained weights 51.00 ms on pixel-8, over the limit of 50 ms"
    assert state.status == "done"
    assert state.best != rejected.trial


def test_nothing_fits_says_every_target_and_the_nearest_candidate():
    state = World(slower={"galaxy-s20": 9000.0}).run(SEARCH)
    assert state.status == "failed"
    assert state.error.startswith(
        "no candidate meets 5 ms on host and 30 ms on galaxy-s20 and 50 ms on pixel-8: the fastest seen is "
    )
    assert "ms on galaxy-s20; give a latency target above that" in state.error


def test_a_device_that_fails_is_named():
    world = World(failing=lambda command: "no phone is connected" if command.command_id == "r.1.measure.pixel-8" else None)
    state = world.run(SEARCH)
    assert state.trials[0].reason == "pixel-8: no phone is connected"


def test_a_run_from_before_there_were_several_devices_goes_on():
    world = World()
    state = begun(world, Settings(latency_ms=5.0, trials=3, strategy="random", phases=2))
    old = json.loads(json.dumps(state.to_json()))
    for name in ("also", "predicted"):
        del old["settings"][name]
    del old["trials"][0]["bundles"], old["trials"][0]["others"], old["pending"]["r.1.compile"]["device"]
    state = SearchState.from_json(old)
    for command in world.queue:
        command.payload.pop("device", None)
    while world.queue:
        state = world.feed(state, world.answer(world.queue.pop(0)))
    assert state.status == "done"


@budget(max_examples=15, deadline=None)
@given(
    data=st.data(),
    slower=st.fixed_dictionaries({"galaxy-s20": st.sampled_from([1.0, 7.0, 40.0]), "pixel-8": st.sampled_from([5.0, 12.0])}),
    predicted=st.sets(st.sampled_from(sorted(PHONES))),
)
def test_any_order_ends_consistently(data, slower, predicted):
    settings = replace(SEARCH, trials=5, predicted=tuple(predicted), parallel=data.draw(st.integers(1, 2)))
    state = World(slower=slower).run(
        settings,
        pick=lambda count: data.draw(st.integers(0, count - 1)),
        each=lambda state: SearchState.from_json(json.loads(json.dumps(state.to_json()))),
    )
    assert state.pending == {}
    for trial in state.trials:
        known = {device: each["latency_ms"] for device, each in trial.latencies(settings).items()}
        if trial.status == "trained":
            assert set(known) == set(settings.limits)
            assert all(known[device] <= limit_ms for device, limit_ms in settings.limits.items())
        else:
            assert trial.status == "over_limit"
            assert any(known[device] > settings.limits[device] for device in known)
    assert (state.status == "done") == any(len(trial.bundles) == 3 for trial in state.trials)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"also": {"host": 3.0}}, "'host' is the first device already"),
        ({"also": {"pixel-8": 0.0}}, "latency target 0 ms on pixel-8: give a number of milliseconds above 0"),
        ({"also": {"pixel-8": "fast"}}, "also of pixel-8 is 'fast'; give a number"),
        ({"also": ["pixel-8"]}, "also must have a number for each name"),
        ({"also": {" ": 3.0}}, "a further device is empty"),
        (
            {"also": {"pixel-8": 40}, "predicted": ["galaxy-s20"]},
            "predicted names 'galaxy-s20', which is none of host, pixel-8",
        ),
    ],
)
def test_devices_that_cannot_be_are_refused_in_one_line(change, message):
    with pytest.raises(UsageError) as caught:
        Settings.from_dict(change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_of_one_device_of_several():
    settings = replace(SEARCH, latency="measured", predicted=("pixel-8",))
    assert settings.limits == {"host": 5.0, **PHONES}
    pixel = settings.on("pixel-8")
    assert (pixel.device, pixel.latency_ms, pixel.latency, pixel.limits) == ("pixel-8", 50.0, "predicted", {"pixel-8": 50.0})
    assert settings.on("galaxy-s20").latency == "measured"
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert isinstance(hash(settings), int)  # grounds are kept by settings
