"""A search of one: the architecture that was asked for is trained, compiled and packed, and nothing is searched."""

from dataclasses import replace

import pytest
from worlds import World

from data.errors import UsageError
from engine.architecture import PRESETS, Architecture
from engine.settings import Settings
from engine.space import SearchSpace

ONE = "L4-H384-A12-F1536,768,1152,384"
ASKED = Settings(latency_ms=50.0, trials=8, architecture=ONE)


def test_the_one_gets_the_only_trial_and_ends_in_a_bundle():
    state = World().run(ASKED)
    assert state.status == "done"
    assert [trial.name for trial in state.trials] == [ONE]
    assert state.best == 1
    assert state.trials[0].final_accuracy is not None


def test_over_the_limit_it_is_dropped_and_the_run_says_why():
    state = World().run(replace(ASKED, latency_ms=0.01))
    assert state.status == "failed"
    assert [trial.status for trial in state.trials] == ["over_limit"]
    assert "no candidate meets 0.01 ms" in state.error


@pytest.mark.parametrize("wrong", ["L40-H384-A12-F768", "L2-H384-A6-F768", "L2-H100-A4-F768", "L2-H384-A12-F99999", "nonsense"])
def test_what_no_student_can_be_fails_the_run_in_one_line(wrong):
    state = World().run(replace(ASKED, architecture=wrong))
    assert state.status == "failed"
    assert "\n" not in state.error
    assert not state.trials


def test_a_narrow_student_is_told_how_it_is_written():
    space = SearchSpace.for_teacher(PRESETS["minilm-l6"])
    space.check(Architecture.parse("L2-H256-A8-F768-E384"))
    with pytest.raises(UsageError, match="write L2-H256-A8-F768-E384"):
        space.check(Architecture.parse("L2-H256-A8-F768"))
