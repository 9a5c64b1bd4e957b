"""Optuna's TPE sampler behind our protocol, to compare with. Linear in the number of observations."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from engine.space import Decision
from engine.strategies import Outcome
from engine.studies import Studies, kinds

STARTUP_TRIALS = 4  # random ones, before the sampler sets in; Optuna's own 10 would leave nothing else of a short search


class TpeStrategy:
    """The `tpe` strategy (`engine.strategies.Strategy`)."""

    phases = 1

    def __init__(self, options: Mapping[str, int], seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._seed = seed
        self._draws: int = state["draws"] if state else 0
        self._seen: list[dict[str, Any]] = list(state["seen"]) if state else []
        self._studies = Studies(["maximize"], [_observation(each) for each in self._seen])

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=self._seed * 100_003 + self._draws)
        self._draws += 1
        return tuple(map(int, self._studies.propose(decisions, sampler).params.values()))

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        self._seen.append({"kinds": kinds(decisions), "choices": list(choices), "reward": outcome.reward})
        self._studies.observe(_observation(self._seen[-1]))

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """The sampler has densities, but tells none."""
        return []

    def to_state(self) -> dict[str, Any]:
        return {"draws": self._draws, "seen": list(self._seen)}


def _observation(seen: Mapping[str, Any]) -> dict[str, Any]:
    return {"kinds": seen["kinds"], "choices": seen["choices"], "values": [seen["reward"]], "attributes": {}}
