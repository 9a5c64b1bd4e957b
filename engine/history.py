"""What a search has tried so far, kept so that a question about a new candidate costs little: which were too slow, how fast the most similar
one was. Arrays grow as trials come; a question is one pass over them by numpy, 0.2 ms at 10,000 trials.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.architecture import Architecture
from engine.reward import infeasible_reward
from engine.strategies import Outcome

FIRST_ROWS = 64


@dataclass(frozen=True)
class Tried:
    """One candidate that has had its trial, or has it now (then neither latency nor reward is known)."""

    architecture: Architecture
    latency_ms: float | None = None
    accuracy: float | None = None
    reward: float | None = None

    def outcome(self, limit_ms: float) -> Outcome | None:
        """None while its reward is not known."""
        return None if self.reward is None else Outcome(self.reward, self.accuracy, self.latency_ms, limit_ms)


class History:
    """Candidates by name, and the sizes and latencies of those that are measured."""

    def __init__(self, tried: Iterable[Tried] = ()) -> None:
        import numpy as np  # here, as a page that starts a search needs none of it

        self._by_name: dict[str, Tried] = {}
        self._rows: dict[str, int] = {}  # of the arrays, by name
        self._latencies = np.zeros(FIRST_ROWS)  # ms
        self._sizes = np.zeros((FIRST_ROWS, 3))  # layers, hidden size, multiply-accumulates
        self._ffn_sizes = np.zeros((FIRST_ROWS, 1))  # the largest first, zero beyond the layers
        for each in tried:
            self.put(each)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def put(self, tried: Tried) -> None:
        """Takes in a candidate, or what has become known of it."""
        name = str(tried.architecture)
        self._by_name[name] = tried
        if tried.latency_ms is None:
            return
        row = self._rows.setdefault(name, len(self._rows))
        layers = tried.architecture.layers
        self._reserve(row + 1, layers)
        self._latencies[row] = tried.latency_ms
        self._sizes[row] = _sizes(tried.architecture)
        self._ffn_sizes[row, :layers] = sorted(tried.architecture.ffn_sizes, reverse=True)

    def known_outcome(self, architecture: Architecture, limit_ms: float) -> Outcome | None:
        """What a candidate that was tried is worth; of one that must be too slow, as it is at least as large as one that was, a bound.
        None where neither is known."""
        tried = self._by_name.get(str(architecture))
        return self._bound(architecture, limit_ms) if tried is None else tried.outcome(limit_ms)

    def may_fit(self, architecture: Architecture, limit_ms: float) -> bool:
        """Whether it is smaller in some dimension than each that was too slow."""
        return self._bound(architecture, limit_ms) is None

    def predicted_latency_ms(self, architecture: Architecture) -> float | None:
        """Its multiply-accumulates at the pace of the most similar candidate measured so far; None before the first one. Similar are
        those that use the machine alike: the ratios of their depths, widths and sizes, as logarithms."""
        import numpy as np

        count = len(self._rows)
        if not count:
            return None
        ours = _sizes(architecture)
        sizes = self._sizes[:count]
        distances = np.abs(np.log(np.asarray(ours) / sizes)).sum(axis=1)
        nearest = np.flatnonzero(distances == distances.min())
        return float((self._latencies[nearest] / sizes[nearest, 2]).min()) * ours[2]

    def _bound(self, architecture: Architecture, limit_ms: float) -> Outcome | None:
        """The slowest of those that were too slow and in no dimension larger, whatever the order of their layers: as fast as that it cannot be.
        Multiply-accumulates are compared too, as a hidden size below the embedding's costs a projection."""
        import numpy as np

        count, layers = len(self._rows), architecture.layers
        width = max(layers, self._ffn_sizes.shape[1])
        ffn_sizes = np.zeros(width)
        ffn_sizes[:layers] = sorted(architecture.ffn_sizes, reverse=True)
        self._reserve(count, width)
        slower = (
            (self._latencies[:count] > limit_ms)
            & (self._sizes[:count] <= _sizes(architecture)).all(axis=1)
            & (self._ffn_sizes[:count] <= ffn_sizes).all(axis=1)
        )
        if not slower.any():
            return None
        latency_ms = float(self._latencies[:count][slower].max())
        return Outcome(infeasible_reward(latency_ms, limit_ms), None, latency_ms, limit_ms, measured=False)

    def _reserve(self, rows: int, layers: int) -> None:
        """Room for so many candidates of so many layers. Doubling makes it linear in all."""
        import numpy as np

        have, width = self._ffn_sizes.shape
        if rows <= have and layers <= width:
            return
        more = 0 if rows <= have else max(rows - have, have)
        self._latencies = np.pad(self._latencies, (0, more))
        self._sizes = np.pad(self._sizes, ((0, more), (0, 0)))
        self._ffn_sizes = np.pad(self._ffn_sizes, ((0, more), (0, max(0, layers - width))))


def _sizes(architecture: Architecture) -> tuple[int, int, int]:
    return architecture.layers, architecture.hidden_size, architecture.mult_adds()
