"""Optuna's NSGA-II (Deb et al. 2002) behind our protocol, to compare with: it looks for the front of accuracy against latency.

A candidate over the limit has no accuracy; how far it is over stands for one, negative, so that every candidate within the limit is more
accurate. As with TPE, a study is made anew for each proposal; which generation a candidate belongs to is kept as Optuna gave it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from engine.space import Decision
from engine.strategies import Outcome
from engine.tpe import distributions, kinds

POPULATION = 10  # Optuna's own 50 would leave nothing else of a short search


class Nsga2Strategy:
    """The `nsga2` strategy (`engine.strategies.Strategy`)."""

    def __init__(self, options: Mapping[str, int], seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._seed = seed
        self._draws: int = state["draws"] if state else 0
        self._seen: list[dict[str, Any]] = list(state["seen"]) if state else []
        self._generation: dict[str, Any] = (
            dict(state["generation"]) if state else {}
        )  # of the latest proposal, as Optuna notes it

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=self._seed * 100_003 + self._draws)
        self._draws += 1
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        space = distributions(decisions)
        for each in self._seen:
            if each["kinds"] == kinds(decisions):
                params = dict(zip(space, each["choices"], strict=True))
                study.add_trial(
                    optuna.trial.create_trial(
                        params=params, distributions=space, values=each["values"], system_attrs=each["generation"]
                    )
                )
        chosen = study.ask(space).params
        self._generation = dict(study.get_trials(deepcopy=False)[-1].system_attrs)
        return tuple(int(chosen[name]) for name in space)

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

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """A population has none."""
        return []

    def to_state(self) -> dict[str, Any]:
        return {"draws": self._draws, "seen": list(self._seen), "generation": dict(self._generation)}
