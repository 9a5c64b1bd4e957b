"""Regularised evolution (Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search", algorithm 1): the best of a few
drawn from the population, with one decision changed; the oldest dies, however good it is, so that luck does not stay.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from engine.space import Decision
from engine.strategies import Outcome

POPULATION = 20  # the paper takes 100, for searches of twenty thousand
DRAWN = 5  # a quarter of the population, as the paper takes
FIRST = 6  # random ones before there are parents


class Evolution:
    """The `evolution` strategy (`engine.strategies.Strategy`). Its state is the population, the oldest first."""

    phases = 1

    def __init__(self, options: Mapping[str, int], seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._seed = seed
        self._draws: int = state["draws"] if state else 0
        self._population: list[dict[str, Any]] = list(state["population"]) if state else []

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        generator = random.Random(f"{self._seed}/{self._draws}")
        self._draws += 1
        alive = [each for each in self._population if each["kinds"] == _kinds(decisions)]
        free = [place for place, decision in enumerate(decisions) if len(decision.options) > 1]
        if len(alive) < FIRST or not free:
            return tuple(generator.randrange(len(decision.options)) for decision in decisions)
        drawn = generator.sample(alive, min(DRAWN, len(alive)))
        child = list(max(drawn, key=lambda each: each["reward"])["choices"])
        place = generator.choice(free)
        others = [index for index in range(len(decisions[place].options)) if index != child[place]]
        child[place] = generator.choice(others)
        return tuple(child)

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        kinds = _kinds(decisions)
        self._population.append({"kinds": kinds, "choices": list(choices), "reward": outcome.reward})
        alike = [each for each in self._population if each["kinds"] == kinds]
        if len(alike) > POPULATION:
            self._population.remove(alike[0])

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """A population has none."""
        return []

    def to_state(self) -> dict[str, Any]:
        return {"draws": self._draws, "population": list(self._population)}


def _kinds(decisions: Sequence[Decision]) -> list[str]:
    """What two proposals must share for one to be the other's parent: another depth has other layers to decide on."""
    return [f"{decision.kind}/{len(decision.options)}" for decision in decisions]
