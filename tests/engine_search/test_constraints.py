"""Limits besides latency: bytes of weights rule out before compilation, memory and energy once they are known."""

from dataclasses import replace

import pytest
from worlds import TEACHER, World, latency_ms

from data.errors import UsageError
from engine.architecture import Architecture
from engine.constraints import check_constraints, energy_of, model_mb
from engine.search import Do
from engine.settings import Settings

SEARCH = Settings(latency_ms=50.0, trials=8, strategy="random", phases=2)
WIDE = replace(TEACHER, ffn_sizes=(384, 384, 384))


class Costly(World):
    """Each measurement also tells memory (MB) and energy (mJ): 20 and 3 times the latency."""

    def answer(self, command: Do):
        event = super().answer(command)
        if command.kind in ("measure", "bundle"):
            found = event.result if command.kind == "measure" else event.result["latency"]
            found |= {"peak_memory_mb": 20 * found["latency_ms"], "energy_mj": 3 * found["latency_ms"]}
        return event


def test_bytes_of_weights():
    """A bundle of L3-H384-A12-F384 at 128 tokens has 57.85 MB of weights, padding included."""
    assert model_mb(WIDE, "fp32", 128) == pytest.approx(57.85, rel=0.01)
    assert model_mb(WIDE, "fp32", 512) == pytest.approx(4 * WIDE.parameters() / 1e6)
    dense = sum(WIDE.layer_parameters(index) for index in range(3))
    assert model_mb(WIDE, "fp32", 128) - model_mb(WIDE, "fp16", 128) == pytest.approx(2 * dense / 1e6)
    assert model_mb(WIDE, "fp32", 128) - model_mb(WIDE, "int8", 128) == pytest.approx(3 * dense / 1e6)


def test_a_candidate_with_too_many_bytes_is_not_compiled():
    world = World()
    state = world.run(replace(SEARCH, model_mb=60.0))
    assert state.status == "done"
    large = [trial for trial in state.trials if trial.status == "over_limit"]
    assert large
    for trial in large:
        size_mb = model_mb(Architecture.parse(trial.name), "fp32", 128)
        assert trial.reason == f"{size_mb:.1f} MB of weights are over the limit of 60 MB: not compiled"
        assert trial.reward == pytest.approx(-size_mb / 60)
        assert not any(command.trial == trial.trial for command in world.seen)
    assert model_mb(Architecture.parse(state.trials[state.best - 1].name), "fp32", 128) <= 60


def test_widths_that_cannot_be_are_left_out_of_phase_one():
    state = World().run(replace(SEARCH, model_mb=50.0))
    assert state.status == "done"
    assert all(trial.architecture["hidden_size"] < 384 for trial in state.trials)


def test_no_candidate_with_so_few_bytes_is_said_before_the_first_trial():
    state = World().run(replace(SEARCH, model_mb=10.0))
    assert (state.status, state.trials) == ("failed", [])
    assert "no candidate has weights of at most 10 MB: the smallest, L1-H256-A8-F384-E384, has " in state.error


@pytest.mark.parametrize(("name", "limit", "unit", "factor"), [("memory_mb", 90.0, "MB", 20), ("energy_mj", 13.5, "mJ", 3)])
def test_memory_and_energy_rule_out_once_they_are_known(name, limit, unit, factor):
    """Both limits are 4.5 ms in other words."""
    state = Costly().run(replace(SEARCH, **{name: limit}))
    assert state.status == "done"
    assert {trial.status for trial in state.trials} == {"trained", "over_limit"}
    for trial in state.trials:
        cost = factor * latency_ms(Architecture.parse(trial.name))
        assert (cost > limit) == (trial.status == "over_limit")
        if trial.status == "over_limit":
            assert f"over the limit of {limit:g} {unit}: not trained" in trial.reason
            assert trial.reward == pytest.approx(-cost / limit)
    nothing = Costly().run(replace(SEARCH, **{name: limit / 100}))
    assert nothing.error.startswith("no candidate meets every limit; the nearest, L1-H256-A8-F384-E384: ")


def test_energy_is_latency_times_published_power():
    found = energy_of({"latency_ms": 100.0, "low_ms": 80.0, "high_ms": 125.0}, "hikey-970", None, "fp32")
    assert found == pytest.approx({"energy_mj": 496.0, "energy_low_mj": 80 * 4.71, "energy_high_mj": 125 * 5.21})
    assert energy_of({"latency_ms": 100.0}, "hikey-970", None, "fp32")["energy_low_mj"] == pytest.approx(471)
    assert energy_of({"latency_ms": 100.0}, "hikey-970", 2, "fp32") == {}  # the power of two cores of four is not known
    assert energy_of({"latency_ms": 100.0}, "galaxy-s20", None, "fp32") == {}
    assert energy_of({"latency_ms": 100.0}, "host", None, "fp32") == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "galaxy-s20", "latency": "predicted", "memory_mb": 90.0}, "peak memory on galaxy-s20 is measured only"),
        ({"also": {"galaxy-s20": 40.0}, "predicted": ("galaxy-s20",), "memory_mb": 90.0}, "peak memory on galaxy-s20"),
        ({"energy_mj": 500.0}, "the power of host with these threads is not known"),
    ],
)
def test_a_limit_of_what_cannot_be_known_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        check_constraints(replace(SEARCH, **change))


def test_limits_that_can_be_known_pass():
    check_constraints(replace(SEARCH, memory_mb=90.0, model_mb=40.0))
    check_constraints(Settings(device="hikey-970", latency="predicted", energy_mj=500.0))


@pytest.mark.parametrize("name", ["model_mb", "memory_mb", "energy_mj"])
def test_limits_are_above_0(name):
    with pytest.raises(UsageError, match=f"{name} is 0.0; give mega|milli"):
        Settings.from_dict({name: 0})
