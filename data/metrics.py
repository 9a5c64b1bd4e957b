"""GLUE's metrics, by scikit-learn and SciPy: the main one first, by which accuracy is meant everywhere in Pocketformer."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics


def score(metric: str, labels: Sequence[float] | NDArray, predictions: Sequence[float] | NDArray) -> dict[str, float]:
    """The metric and its companion of GLUE, all in [0, 1].

    Predictions without information (all the same, or not numbers) score 0; correlations below zero count as none.

    Args:
        metric: a name of `COMPANIONS`.
        labels: [n], class numbers, or for correlations real numbers.
        predictions: [n], of the same kind.
    """
    truth, guess = np.asarray(labels), np.asarray(predictions)
    if truth.shape != guess.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"{guess.shape} predictions for {truth.shape} labels")
    return {name: _finite(_METRICS[name](truth, guess)) for name in (metric, COMPANIONS[metric]) if name}


COMPANIONS = {"f1": "accuracy", "matthews": "accuracy", "pearson": "spearman", "accuracy": "", "macro_f1": "accuracy"}


def _correlation(of: Callable) -> Callable[[NDArray, NDArray], float]:
    def correlation(truth: NDArray, guess: NDArray) -> float:
        if not np.isfinite(guess).all() or np.ptp(guess) == 0 or np.ptp(truth) == 0:
            return 0.0
        return float(of(truth, guess).statistic)

    return correlation


_METRICS: dict[str, Callable[[NDArray, NDArray], float]] = {
    "accuracy": metrics.accuracy_score,
    "f1": lambda truth, guess: metrics.f1_score(truth, guess, zero_division=0.0),
    "macro_f1": lambda truth, guess: metrics.f1_score(truth, guess, average="macro", zero_division=0.0),
    "matthews": metrics.matthews_corrcoef,
    "pearson": _correlation(stats.pearsonr),
    "spearman": _correlation(stats.spearmanr),
}


def _finite(value: float) -> float:
    return min(max(float(value), 0.0), 1.0) if np.isfinite(value) else 0.0
