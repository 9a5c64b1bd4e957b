"""Ways to choose the next candidate, behind one protocol: propose, observe, and a state that is JSON.

The search hands a strategy the decisions of one candidate (`engine.space.Decision`) and later its reward; what to do with
duplicates and with candidates known to be too slow is not the strategy's business (`engine.proposals`).
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from data.errors import UsageError
from engine.space import Decision


class Strategy(Protocol):
    """Who decides. Two strategies with the same state propose the same and learn the same."""

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        """The index of an option for each decision."""
        ...

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], reward: float) -> None:
        """Learns what `choices` were worth."""
        ...

    def to_state(self) -> dict[str, Any]:
        """JSON values from which `make_strategy` continues."""
        ...


class RandomStrategy:
    """Uniform choices: what any other strategy has to beat."""

    def __init__(self, seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._seed = seed
        self._draws: int = state["draws"] if state else 0

    def propose(self, decisions: Sequence[Decision]) -> tuple[int, ...]:
        generator = random.Random(f"{self._seed}/{self._draws}")
        self._draws += 1
        return tuple(generator.randrange(len(decision.options)) for decision in decisions)

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], reward: float) -> None:
        """Nothing is learned."""

    def to_state(self) -> dict[str, Any]:
        return {"draws": self._draws}


def strategy_names() -> tuple[str, ...]:
    return ("reinforce", "random", "tpe", "evolution")


def make_strategy(name: str, options: Mapping[str, int], seed: int, state: Mapping[str, Any] | None = None) -> Strategy:
    """A new strategy, or the continuation of one. `options`: the number of options of each kind of decision.

    Raises:
        UsageError: an unknown name; the message lists the known ones.
    """
    if name == "reinforce":
        from engine.controller import Controller

        return Controller(options, seed, state)
    if name == "random":
        return RandomStrategy(seed, state)
    if name == "tpe":
        from engine.tpe import TpeStrategy

        return TpeStrategy(seed, state)
    if name == "evolution":
        from engine.evolution import Evolution

        return Evolution(seed, state)
    raise UsageError(f"unknown strategy '{name}'; take one of {', '.join(strategy_names())}")
