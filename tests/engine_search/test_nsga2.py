"""NSGA-II: generations pass, the front is what is looked for, and it beats chance."""

from statistics import mean

from engine.nsga2 import POPULATION, Nsga2Strategy
from engine.space import Decision
from engine.strategies import Outcome, RandomStrategy, Strategy, make_strategy

DECISIONS = [Decision("hidden", (256, 320, 384)), *[Decision("ffn", (384, 768, 1152, 1536))] * 8]
LIMIT_MS = 6.0


def outcome(choices: tuple[int, ...]) -> Outcome:
    """Equal times, but each decision is worth more than the one before; above the limit nothing is trained."""
    latency_ms = sum(choices) / 2
    accuracy = sum(choice * place for place, choice in enumerate(choices, 1)) / 200
    return Outcome(0.0, accuracy if latency_ms <= LIMIT_MS else None, latency_ms, LIMIT_MS)


def seen(strategy: Strategy, trials: int) -> list[Outcome]:
    outcomes = []
    for _ in range(trials):
        choices = strategy.propose(DECISIONS)
        outcomes.append(outcome(choices))
        strategy.observe(DECISIONS, choices, outcomes[-1])
    return outcomes


def best(outcomes: list[Outcome]) -> float:
    return max(each.accuracy or 0.0 for each in outcomes)


def test_generations_pass():
    strategy = Nsga2Strategy({})
    seen(strategy, 4 * POPULATION)
    generations = [next(iter(each["generation"].values())) for each in strategy.to_state()["seen"]]
    assert generations == sorted(generations)
    assert [generations.count(number) for number in range(4)] == [POPULATION] * 4


def test_it_goes_on_from_its_state_as_if_nothing_had_been():
    one = Nsga2Strategy({}, 3)
    seen(one, 25)
    other = make_strategy("nsga2", {}, 3, one.to_state())
    assert [one.propose(DECISIONS) for _ in range(5)] == [other.propose(DECISIONS) for _ in range(5)]


def test_what_is_over_the_limit_is_less_worth_than_anything_within():
    strategy = Nsga2Strategy({})
    for latency_ms, accuracy in ((9.0, None), (4.0, 0.1)):
        strategy.observe(DECISIONS, (0,) * 9, Outcome(0.0, accuracy, latency_ms, LIMIT_MS))
    assert [each["values"] for each in strategy.to_state()["seen"]] == [[-0.5, 9.0], [0.1, 4.0]]


def test_it_beats_chance_at_equal_budgets():
    bred = mean(best(seen(Nsga2Strategy({}, seed), 80)) for seed in range(8))
    drawn = mean(best(seen(RandomStrategy({}, seed), 80)) for seed in range(8))
    assert bred > drawn, (bred, drawn)
