"""Ways to choose the next candidate, behind one protocol: propose, observe, and a state that is JSON.

The search hands a strategy the decisions of one candidate (`engine.space.Decision`) and later what it was worth; what to do with
duplicates and with candidates known to be too slow is not the strategy's business (`engine.proposals`).
"""

import random
from collections.abc import Callable, Mapping, Sequence
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
        ("reinforce", "engine.controller:Controller"),
        ("random", "engine.strategies:RandomStrategy"),
        ("tpe", "engine.tpe:TpeStrategy"),
        ("nsga2", "engine.nsga2:Nsga2Strategy"),
        ("evolution", "engine.evolution:Evolution"),
    )
}


@dataclass(frozen=True)
class Outcome:
    """What a candidate was worth.

    Attributes:
        reward: CANAO's (`engine.reward`), which the search maximises.
        accuracy: early-stage; None of a candidate over the limit, which is not trained.
        latency_ms, limit_ms: of a candidate that is known to be too slow but was not measured, the latency of one that is no larger.
    """

    reward: float
    accuracy: float | None = None
    latency_ms: float | None = None
    limit_ms: float | None = None


class Strategy(Protocol):
    """Who decides. Two strategies with the same state propose the same and learn the same."""

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
        UsageError: an unknown name, where the message lists the known ones; or another package's strategy that does not load.
    """
    if name not in OURS and name not in _others():
        raise UsageError(f"unknown strategy '{name}'; take one of {', '.join(strategy_names())}")
    found = OURS.get(name) or _others()[name]
    try:
        make: Callable[[Mapping[str, int], int, Mapping[str, Any] | None], Strategy] = found.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"strategy '{name}' does not load from {found.value}: {error}; mend its package, or take another"
        ) from error
    return make(options, seed, state)


@cache
def _others() -> dict[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=GROUP)}
