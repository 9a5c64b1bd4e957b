"""Accuracy of architectures that were never trained, learned from those that were: ridge regression on their sizes' logarithms.

No measurement and no supernet: where it is shown it says so, with its error on trials that were left out one at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.architecture import Architecture

LEAST = 12  # architectures with an accuracy; fewer teach nothing that holds
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
QUANTILE_90 = 1.645  # of a normal distribution, both sides


@dataclass(frozen=True)
class Learned:
    """What trials have taught.

    Attributes:
        error: root mean square of the errors on architectures left out one at a time.
        explained: share of the variance that this leaves explained; at most 0 where sizes tell nothing.
    """

    weights: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    error: float
    explained: float
    architectures: int

    def predict(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Accuracy of each, (architectures,)."""
        rows = (features(architectures) - self.centre) / self.scale
        return np.column_stack([np.ones(len(rows)), rows]) @ self.weights

    @property
    def half_width(self) -> float:
        """Of a 90 % interval."""
        return QUANTILE_90 * self.error


def features(architectures: Sequence[Architecture]) -> np.ndarray:
    """Logarithms of layers, hidden size, mean FFN size, their squares and products, and how FFN sizes grow from the first to the last
    layer; (architectures, 10)."""
    rows = []
    for each in architectures:
        sizes = np.array(each.ffn_sizes, float)
        half = len(sizes) // 2
        slope = np.log(sizes[-half:].mean() / sizes[:half].mean()) if half else 0.0
        deep, wide, ffn = np.log([each.layers, each.hidden_size, sizes.mean()])
        rows.append([deep, wide, ffn, deep**2, wide**2, ffn**2, deep * wide, deep * ffn, wide * ffn, slope])
    return np.array(rows).reshape(-1, 10)


def learn(architectures: Sequence[Architecture], accuracies: Sequence[float]) -> Learned | None:
    """The fit whose errors on left-out architectures are the smallest; None with too few, or where all have one accuracy."""
    wanted = np.array(accuracies, float)
    if len(architectures) < LEAST or np.ptp(wanted) == 0:
        return None
    rows = features(architectures)
    centre, scale = rows.mean(axis=0), np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1.0)
    design = np.column_stack([np.ones(len(rows)), (rows - centre) / scale])
    best: tuple[float, np.ndarray] | None = None
    for penalty in PENALTIES:
        ridge = penalty * np.eye(design.shape[1])
        ridge[0, 0] = 0.0
        solved = np.linalg.solve(design.T @ design + ridge, design.T)
        leverage = np.einsum("ij,ji->i", design, solved)
        weights = solved @ wanted
        left_out = (wanted - design @ weights) / np.maximum(1 - leverage, 1e-3)  # exact for ridge: no fit per row
        error = float(np.sqrt(np.mean(left_out**2)))
        if best is None or error < best[0]:
            best = error, weights
    assert best is not None
    return Learned(best[1], centre, scale, best[0], 1 - best[0] ** 2 / float(wanted.var()), len(architectures))
