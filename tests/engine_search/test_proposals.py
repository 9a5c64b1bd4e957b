"""Which candidates get a trial: none twice, none that must be too slow, and the enumeration ends where the space does."""

import pytest
from worlds import at_least_as_large

from engine.architecture import PRESETS, Architecture
from engine.history import History, Tried
from engine.proposals import LARGEST_RESAMPLING, next_proposal
from engine.space import AT_ONCE, SearchSpace

SPACE = SearchSpace.for_teacher(PRESETS["minilm-l6"])


class Stubborn:
    """A strategy that proposes the same for ever, and remembers what it was told."""

    def __init__(self, *choices: int) -> None:
        self.choices = choices
        self.told: list[float] = []
        self.asked = 0

    def propose(self, decisions):
        self.asked += 1
        return self.choices

    def observe(self, decisions, choices, outcome):
        self.told.append(outcome.reward)

    def to_state(self):
        return {}


def tried(name: str, latency_ms: float | None = None, reward: float | None = None) -> Tried:
    return Tried(Architecture.parse(name), latency_ms, reward=reward)


def test_a_new_candidate_is_the_strategys():
    proposal = next_proposal(SPACE, Stubborn(2), 1, None, History(), 5.0)
    assert str(proposal.architecture) == "L3-H384-A12-F384"


def test_a_duplicate_is_replayed_once_and_replaced():
    strategy = Stubborn(2)
    proposal = next_proposal(SPACE, strategy, 1, None, History([tried("L3-H384-A12-F384", 4.0, 0.9)]), 5.0)
    assert strategy.told == [0.9]
    assert strategy.asked == LARGEST_RESAMPLING
    assert str(proposal.architecture) != "L3-H384-A12-F384"


def test_a_failed_or_running_duplicate_teaches_nothing():
    strategy = Stubborn(2)
    assert next_proposal(SPACE, strategy, 1, None, History([tried("L3-H384-A12-F384")]), 5.0) is not None
    assert strategy.told == []


def test_a_larger_candidate_than_one_too_slow_is_known():
    slow = History([tried("L3-H384-A12-F384", 6.0, -1.2)])
    known = slow.known_outcome(Architecture.parse("L5-H384-A12-F384"), 5.0)
    assert (known.reward, known.latency_ms, known.measured) == (-1.2, 6.0, False)
    assert slow.known_outcome(Architecture.parse("L5-H384-A12-F256"), 5.0) is None
    strategy = Stubborn(4)
    proposal = next_proposal(SPACE, strategy, 1, None, slow, 5.0)
    assert proposal.architecture.layers < 3
    assert strategy.told == [-1.2]


def test_the_replacement_uses_the_limit_best_by_the_pace_so_far():
    """6 ms for six layers: four layers take 4 of the 4.5 ms allowed, five would be over."""
    proposal = next_proposal(SPACE, Stubborn(5), 1, None, History([tried("L6-H384-A12-F384", 6.0, -1.3)]), 4.5)
    assert proposal.architecture.layers == 4


def test_pace_is_that_of_the_most_similar_candidate():
    seen = History([tried("L1-H384-A12-F768", 3.0), tried("L6-H384-A12-F768", 6.0)])
    assert seen.predicted_latency_ms(Architecture.parse("L5-H384-A12-F768")) == 5.0
    assert History().predicted_latency_ms(Architecture.parse("L5-H384-A12-F768")) is None


def test_an_exhausted_phase_has_no_proposal():
    everything = History(tried(f"L{depth}-H384-A12-F384", 1.0, 0.5) for depth in SPACE.depths)
    assert next_proposal(SPACE, Stubborn(0), 1, None, everything, 5.0) is None


def test_when_the_smallest_is_too_slow_nothing_is_left():
    slow = History([tried("L1-H256-A8-F384-E384", 9.0, -1.8)])
    assert next_proposal(SPACE, Stubborn(2, 0), 2, 1, slow, 5.0) is None


def test_every_candidate_of_a_small_space_is_found_once():
    space = SearchSpace.for_teacher(PRESETS["minilm-l6"], depths=(2,), hidden_sizes=(384,), ffn_sizes=(384, 768, 1152))
    seen, names = History(), []
    while (proposal := next_proposal(space, Stubborn(0, 0, 0), 2, 2, seen, 5.0)) is not None:
        seen.put(Tried(proposal.architecture, 1.0, reward=0.1))
        names.append(str(proposal.architecture))
    assert len(set(names)) == len(names) == len(seen) == 9


def test_at_once_every_candidate_of_every_depth_is_found_once():
    space = SearchSpace.for_teacher(PRESETS["minilm-l6"], depths=(1, 3), hidden_sizes=(320, 384), ffn_sizes=(384, 768))
    seen = History()
    while (proposal := next_proposal(space, Stubborn(0, 0, 0, 0, 0), AT_ONCE, None, seen, 5.0)) is not None:
        assert str(proposal.architecture) not in seen
        seen.put(Tried(proposal.architecture, 1.0, reward=0.1))
    assert len(seen) == 2 * (2 + 8)


@pytest.mark.parametrize(
    ("candidate", "other", "answer"),
    [
        ("L3-H384-A12-F768", "L3-H384-A12-F768", True),
        ("L4-H384-A12-F768", "L3-H384-A12-F768", True),
        ("L3-H384-A12-F1536,768,768", "L3-H384-A12-F768,768,1536", True),
        ("L3-H384-A12-F1536,384,768", "L3-H384-A12-F768", False),
        ("L4-H320-A10-F1536", "L3-H384-A12-F768", False),
        # The wider one has no projection and a single small layer: fewer multiply-accumulates in all.
        ("L1-H384-A12-F64", "L1-H320-A10-F64-E1024", False),
    ],
)
def test_what_is_no_smaller_than_one_that_was_too_slow_cannot_fit(candidate, other, answer):
    candidate, other = Architecture.parse(candidate), Architecture.parse(other)
    assert at_least_as_large(candidate, other) is answer
    assert History([Tried(other, 2.0, reward=0.0)]).may_fit(candidate, 1.0) is not answer


def test_a_history_bounds_as_the_pairwise_comparison_does():
    """Whatever the depths, and past the rows that it first has room for."""
    space = SearchSpace.for_teacher(PRESETS["minilm-l6"], depths=(1, 2, 3), ffn_sizes=(384, 768, 1536))
    every = [architecture for _, architecture in space.ascending(AT_ONCE, None, lambda _: True)]
    timed = [(each, each.mult_adds() / 4e8) for each in every[::-1]]
    history = History(Tried(each, latency_ms, reward=0.0) for each, latency_ms in timed[::2])
    for architecture, _ in timed[1::2]:
        slower = [ms for each, ms in timed[::2] if ms > 1.0 and at_least_as_large(architecture, each)]
        bound = history.known_outcome(architecture, 1.0)
        assert (bound.latency_ms if bound else None) == max(slower, default=None)


def test_a_strategy_that_weighs_latency_gets_the_trial_for_its_first_new_candidate():
    class Choosy(Stubborn):
        weighs_latency = True

    seen = History([tried("L6-H384-A12-F384", 6.0, -1.3)])
    strategy = Choosy(2)
    proposal = next_proposal(SPACE, strategy, 1, None, seen, 4.5, screened=4)
    assert (str(proposal.architecture), strategy.asked) == ("L3-H384-A12-F384", 1)
