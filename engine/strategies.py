"""Ways to choose the next candidate, behind one protocol: propose, observe, and a state that is JSON.

The search hands a strategy the decisions of one candidate (`engine.space.Decision`) and later what it was worth; what to do with
duplicates and with candidates known to be too slow is not the strategy's business (`engine.proposals`).
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from data.errors import UsageError
from engine.space import Decision

GROUP = "pocketformer.strategies"  # of entry points: other packages' strategies
OURS = {
    name: EntryPoint(name, where, GROUP)
    for name, where in (
        ("bayes", "engine.bayes:Bayes"),
        ("reinforce", "engine.controller:Controller"),
        ("random", "engine.strategies:RandomStrategy"),
        ("tpe", "engine.tpe:TpeStrategy"),
        ("nsga2", "engine.nsga2:Nsga2Strategy"),
        ("evolution", "engine.evolution:Evolution"),
    )
}

METHODS = ("propose", "observe", "probabilities", "to_state")  # of a strategy


@dataclass(frozen=True)
class Outcome:
    """What a candidate was worth.

    Attributes:
        reward: CANAO's (`engine.reward`), which the search maximises.
        accuracy: early-stage; None of a candidate over the limit, which is not trained.
        latency_ms, limit_ms: of a candidate that is known to be too slow but was not measured, the latency of one that is no larger.
        measured: False of such a candidate.
    """

    reward: float
    accuracy: float | None = None
    latency_ms: float | None = None
    limit_ms: float | None = None
    measured: bool = True


class Strategy(Protocol):
    """Who decides. Two strategies with the same state propose the same and learn the same.

    A class may say more of itself by attributes: `phases = 1`, it decides on layers and sizes at once (without: 2, layers first, as
    CANAO); `weighs_latency = True`, its proposals are the best of many by its own measure, and are not screened by predicted latency.
    """

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        """The index of an option for each decision."""
        ...

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        """Learns what `choices` were worth."""
        ...

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """For each decision the probability of each option, given the `choices` before it; [] where there are none to tell."""
        ...

    def to_state(self) -> dict[str, Any]:
        """JSON values from which `make_strategy` continues."""
        ...


class RandomStrategy:
    """Uniform choices: what any other strategy has to beat."""

    phases = 1

    def __init__(self, options: Mapping[str, int], seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._seed = seed
        self._draws: int = state["draws"] if state else 0

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        generator = random.Random(f"{self._seed}/{self._draws}")
        self._draws += 1
        return tuple(generator.randrange(len(decision.options)) for decision in decisions)

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        """Nothing is learned."""

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """Always the same: nothing to tell."""
        return []

    def to_state(self) -> dict[str, Any]:
        return {"draws": self._draws}


def strategy_names() -> tuple[str, ...]:
    """Ours, then those that other packages bring by an entry point of the group `GROUP`."""
    return (*OURS, *(name for name in sorted(_others()) if name not in OURS))


def make_strategy(name: str, options: Mapping[str, int], seed: int, state: Mapping[str, Any] | None = None) -> Strategy:
    """A new strategy, or the continuation of one. `options`: the number of options of each kind of decision.

    Raises:
        UsageError: an unknown name, where the message lists the known ones; or another package's strategy that does not load, or has not
            what a strategy has. What goes wrong in one later is told so too.
    """
    if name not in OURS and name not in _others():
        raise UsageError(f"unknown strategy '{name}'; take one of {', '.join(strategy_names())}")
    if name in OURS:
        made: Strategy = OURS[name].load()(options, seed, state)
        return made
    found = _others()[name]
    try:
        made = found.load()(options, seed, state)
    except Exception as error:
        raise UsageError(
            f"strategy '{name}' does not load from {found.value}: {one_line(error)}; mend its package, or take another"
        ) from error
    lacking = [method for method in METHODS if not callable(getattr(made, method, None))]
    if lacking:
        raise UsageError(
            f"strategy '{name}' from {found.value} has no {', '.join(lacking)}; mend its package, or take another: "
            f"engine/strategies.py says what a strategy has"
        )
    return Guarded(name, made)


def check_strategy(name: str) -> None:
    """Raises:
    UsageError: see `make_strategy`.
    """
    make_strategy(name, {"depth": 1, "hidden": 1, "ffn": 1}, 0)


def phases_of(strategy: Strategy) -> int:
    return int(getattr(strategy, "phases", 2))


def weighs_latency(strategy: Strategy) -> bool:
    return bool(getattr(strategy, "weighs_latency", False))


class Guarded:
    """Another package's strategy: what it raises, or proposes that is none of the options, is an error of one line that names it."""

    def __init__(self, name: str, strategy: Strategy) -> None:
        self._name = name
        self._strategy = strategy
        self.phases = phases_of(strategy)
        self.weighs_latency = weighs_latency(strategy)

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        with self._told("propose"):
            choices = tuple(int(choice) for choice in self._strategy.propose(decisions))
        counts = [len(decision.options) for decision in decisions]
        if len(choices) != len(counts) or not all(0 <= choice < count for choice, count in zip(choices, counts, strict=True)):
            raise UsageError(
                f"strategy '{self._name}' proposed {choices}, but it has to choose of {counts} options; mend its package"
            )
        return choices

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        with self._told("observe"):
            self._strategy.observe(decisions, choices, outcome)

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        with self._told("probabilities"):
            told = [[float(each) for each in options] for options in self._strategy.probabilities(decisions, choices)]
        if told and [len(options) for options in told] != [len(decision.options) for decision in decisions]:
            raise UsageError(f"strategy '{self._name}' tells not one probability for each option; mend its package")
        return told

    def to_state(self) -> dict[str, Any]:
        with self._told("to_state"):
            state = self._strategy.to_state()
            json.dumps(state)
        return state

    @contextmanager
    def _told(self, method: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise UsageError(
                f"strategy '{self._name}' failed in {method}: {one_line(error)}; mend its package, or take another"
            ) from error


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@cache
def _others() -> dict[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=GROUP)}
