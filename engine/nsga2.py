"""Optuna's NSGA-II (Deb et al. 2002) behind our protocol, to compare with: it looks for the front of accuracy against latency.

A candidate over the limit has no accuracy; how far it is over stands for one, negative, so that every candidate within the limit is more
accurate. Which generation a candidate belongs to is kept as Optuna gave it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial

from engine.space import Decision
from engine.strategies import Outcome
from engine.studies import Studies, kinds

POPULATION = 10  # Optuna's own 50 would leave nothing else of a short search

Parents = dict[int, list[FrozenTrial]]  # by generation


class Nsga2Strategy:
    """The `nsga2` strategy (`engine.strategies.Strategy`)."""

    phases = 1

    def __init__(self, options: Mapping[str, int], seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._seed = seed
        self._draws: int = state["draws"] if state else 0
        self._seen: list[dict[str, Any]] = list(state["seen"]) if state else []
        self._generation: dict[str, Any] = (
            dict(state["generation"]) if state else {}
        )  # of the latest proposal, as Optuna notes it
        self._parents: dict[tuple[str, ...], Parents] = {}
        self._studies = Studies(["maximize", "minimize"], [_observation(each) for each in self._seen])

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        parents = self._parents.setdefault(tuple(kinds(decisions)), {})
        sampler = _Sampler(parents, population_size=POPULATION, seed=self._seed * 100_003 + self._draws)
        self._draws += 1
        drawn = self._studies.propose(decisions, sampler)
        self._generation = dict(drawn.system_attrs)
        return tuple(map(int, drawn.params.values()))

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        """Of an outcome that is a reward alone, the reward is all that counts."""
        latency_ms, limit_ms = outcome.latency_ms, outcome.limit_ms
        if latency_ms is None or limit_ms is None:
            values = [outcome.reward, 0.0]
        elif outcome.accuracy is None or latency_ms > limit_ms:
            values = [(limit_ms - latency_ms) / limit_ms, latency_ms]
        else:
            values = [outcome.accuracy, latency_ms]
        self._seen.append(
            {"kinds": kinds(decisions), "choices": list(choices), "values": values, "generation": self._generation}
        )
        self._studies.observe(_observation(self._seen[-1]))

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """A population has none."""
        return []

    def to_state(self) -> dict[str, Any]:
        return {"draws": self._draws, "seen": list(self._seen), "generation": dict(self._generation)}


class _Sampler(NSGAIISampler):
    """Optuna's own keeps each generation's parents in the study, and gives them in another order when it reads them there than when it has
    just selected them: a search that is gone on with would draw others."""

    def __init__(self, parents: Parents, **options: Any) -> None:
        super().__init__(**options)
        self._parents_by_generation = parents

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The same whenever it is asked: once there is a next generation, nothing is added to one."""
        if generation not in self._parents_by_generation:
            self._parents_by_generation[generation] = self.select_parent(study, generation) if generation else []
        return self._parents_by_generation[generation]


def _observation(seen: Mapping[str, Any]) -> dict[str, Any]:
    return {"kinds": seen["kinds"], "choices": seen["choices"], "values": seen["values"], "attributes": seen["generation"]}
