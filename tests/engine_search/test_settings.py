"""Settings: prefilled, JSON there and back, and one line for each thing that is wrong."""

import json

import pytest

from data.errors import UsageError
from engine.settings import Settings


def test_defaults_are_a_search_that_can_start(monkeypatch):
    monkeypatch.delenv("POCKETFORMER_GLUE_DIR", raising=False)
    assert Settings().task == "paraphrase"
    monkeypatch.setenv("POCKETFORMER_GLUE_DIR", "/anywhere")
    assert Settings().task == "stsb"


def test_json_round_trip():
    settings = Settings(task="rte", latency_ms=3, depths=(2, 3), threads=2, losses=(), text="corpus.gz")
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latency_ms": 0}, "latency target 0 ms"),
        ({"latency_ms": float("nan")}, "latency target nan ms"),
        ({"latency_ms": "5"}, "latency_ms is '5'; give a number"),
        ({"trials": 0}, "trials is 0; give 1 or more"),
        ({"trials": 2.5}, "trials is 2.5; give a whole number"),
        ({"trials": True}, "trials is True"),
        ({"seed": -1}, "seed is -1"),
        ({"phase_one_share": 1.5}, "phase_one_share is 1.5; give 0 to 1"),
        ({"baseline_decay": -0.1}, "baseline_decay is -0.1; give 0 to 1"),
        ({"strategy": "annealing"}, "unknown strategy 'annealing'; take one of bayes, reinforce, random, tpe"),
        ({"accuracy": "guessed"}, "unknown accuracy 'guessed'; take one of trained, supernet"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"losses": ["cosine"]}, "unknown loss 'cosine'"),
        ({"depths": 3}, "depths must be a list"),
        ({"depths": [0]}, "depths must be whole numbers above 0"),
        ({"threads": 0}, "threads is 0"),
        ({"task": " "}, "task is empty"),
        ({"latencyms": 5}, "unknown setting 'latencyms'; known are task,"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values, message):
    with pytest.raises(UsageError) as caught:
        Settings.from_dict(values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_json_writes_otherwise_are_taken():
    settings = Settings.from_dict({"latency_ms": 4, "trials": 5.0})
    assert (settings.latency_ms, type(settings.latency_ms), settings.trials, type(settings.trials)) == (4.0, float, 5, int)
