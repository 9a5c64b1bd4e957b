"""Regularised evolution: children differ from a good parent in one decision, the oldest die, and it beats chance."""

from statistics import mean

from engine.evolution import FIRST, POPULATION, Evolution
from engine.space import Decision
from engine.strategies import Outcome, RandomStrategy, Strategy, make_strategy

DECISIONS = [Decision("hidden", (256, 320, 384)), *[Decision("ffn", (384, 768, 1152, 1536))] * 4]


def worth(choices: tuple[int, ...]) -> float:
    """Each decision counts by itself; the best is 1."""
    return mean(choice / (len(decision.options) - 1) for choice, decision in zip(choices, DECISIONS, strict=True))


def best_of(strategy: Strategy, trials: int) -> float:
    best = 0.0
    for _ in range(trials):
        choices = strategy.propose(DECISIONS)
        strategy.observe(DECISIONS, choices, Outcome(worth(choices)))
        best = max(best, worth(choices))
    return best


def grown(trials: int, seed: int = 0) -> Evolution:
    strategy = Evolution({}, seed)
    best_of(strategy, trials)
    return strategy


def test_a_child_differs_from_a_parent_in_one_decision():
    strategy = grown(FIRST)
    parents = [each["choices"] for each in strategy.to_state()["population"]]
    child = strategy.propose(DECISIONS)
    assert min(sum(a != b for a, b in zip(child, parent, strict=True)) for parent in parents) == 1


def test_the_oldest_dies_however_good_it_is():
    strategy = Evolution({}, 0)
    strategy.observe(DECISIONS, (2, 3, 3, 3, 3), Outcome(9.0))
    for number in range(POPULATION):
        strategy.observe(DECISIONS, (0, 0, 0, 0, number % 4), Outcome(0.1))
    rewards = [each["reward"] for each in strategy.to_state()["population"]]
    assert rewards == [0.1] * POPULATION


def test_decisions_of_another_depth_have_no_parents_here():
    strategy = grown(POPULATION)
    shorter = DECISIONS[:2]
    assert len(strategy.propose(shorter)) == 2
    for _ in range(POPULATION + 1):
        strategy.observe(shorter, (0, 0), Outcome(0.5))
    kinds = [len(each["kinds"]) for each in strategy.to_state()["population"]]
    assert kinds.count(2) == kinds.count(len(DECISIONS)) == POPULATION


def test_it_goes_on_from_its_state_as_if_nothing_had_been():
    one, other = grown(30), make_strategy("evolution", {}, 0, grown(30).to_state())
    assert [one.propose(DECISIONS) for _ in range(5)] == [other.propose(DECISIONS) for _ in range(5)]


def test_a_space_of_one_candidate_is_proposed():
    only = [Decision("hidden", (256,)), Decision("ffn", (384,))]
    strategy = Evolution({}, 0)
    for _ in range(FIRST + 1):
        strategy.observe(only, (0, 0), Outcome(0.3))
    assert strategy.propose(only) == (0, 0)


def test_it_beats_chance_at_equal_budgets():
    evolved = mean(best_of(Evolution({}, seed), 60) for seed in range(20))
    drawn = mean(best_of(RandomStrategy({}, seed), 60) for seed in range(20))
    assert evolved > 0.97
    assert evolved > drawn + 0.03, (evolved, drawn)
