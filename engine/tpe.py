"""Optuna's TPE sampler behind our protocol, to compare with.

A study is made anew for each proposal from what has been observed: the state is a list, and any process may go on. Linear in
the number of observations.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution

from engine.space import Decision
from engine.strategies import Outcome

STARTUP_TRIALS = 4  # random ones, before the sampler sets in; Optuna's own 10 would leave nothing else of a short search


class TpeStrategy:
    """The `tpe` strategy (`engine.strategies.Strategy`)."""

    def __init__(self, options: Mapping[str, int], seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._seed = seed
        self._draws: int = state["draws"] if state else 0
        self._seen: list[dict[str, Any]] = list(state["seen"]) if state else []

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=self._seed * 100_003 + self._draws)
        self._draws += 1
        study = optuna.create_study(direction="maximize", sampler=sampler)
        space = distributions(decisions)
        for each in self._seen:
            if each["kinds"] == kinds(decisions):
                params = dict(zip(space, each["choices"], strict=True))
                study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=each["reward"]))
        chosen = study.ask(space).params
        return tuple(int(chosen[name]) for name in space)

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        self._seen.append({"kinds": kinds(decisions), "choices": list(choices), "reward": outcome.reward})

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """The sampler has densities, but tells none."""
        return []

    def to_state(self) -> dict[str, Any]:
        return {"draws": self._draws, "seen": list(self._seen)}


def kinds(decisions: Sequence[Decision]) -> list[str]:
    return [decision.kind for decision in decisions]


def distributions(decisions: Sequence[Decision]) -> dict[str, BaseDistribution]:
    """The index of each decision's option; options ascend, so the sampler may use their order."""
    return {f"{place}-{each.kind}": IntDistribution(0, len(each.options) - 1) for place, each in enumerate(decisions)}
