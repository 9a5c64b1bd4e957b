"""Regression on few observations with its uncertainty: a Gaussian process (Rasmussen & Williams 2006, algorithm 2.1) whose kernel is linear
plus Matérn 5/2, with a length scale for each group of features, plus a constant for points of one family: what its members share beyond their
features, as networks cut of one body share how well that body came out.

Length scales, amplitudes and noise are not fitted to one best setting, which few observations do not have, but averaged over the likeliest of
a fixed sample of settings, weighted by their marginal likelihood (section 5.2 there): the same observations give the same answer.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_triangular

SETTINGS = 48  # sampled
AVERAGED = 6  # the likeliest of them
LENGTH_SCALES = (0.15, 4.0)  # of features in [0, 1]
# Standard deviations of the Matérn part, the linear one and a family's, of targets with a standard deviation of 1.
AMPLITUDES = (0.1, 1.5)
NOISES = (0.003, 0.3)
JITTER = 1e-8
LEAST_VARIANCE = 1e-12


class GaussianProcess:
    """A model of targets (n,) at points (n, D).

    Args:
        groups: for each of the D features the number of its group, from 0; those of a group share a length scale.
        families: (n,), a number for each point.

    Cost: cubic in n, for each setting.
    """

    def __init__(self, points: np.ndarray, targets: np.ndarray, groups: Sequence[int], families: np.ndarray) -> None:
        self._points, self._families = points, families
        self._mean = float(targets.mean())
        self._scale = float(targets.std()) or 1.0
        scaled = (targets - self._mean) / self._scale
        self._groups = [np.flatnonzero(np.asarray(groups) == group) for group in range(max(groups) + 1)]
        settings = _settings(len(self._groups))
        kernels = self._kernel(points, families, settings)  # (SETTINGS, n, n)
        kernels += np.eye(len(points)) * (np.square(settings[:, -1]) + JITTER)[:, None, None]
        lower = np.linalg.cholesky(kernels)
        weights = np.linalg.solve(kernels, np.broadcast_to(scaled[:, None], (len(settings), len(scaled), 1)))[
            ..., 0
        ]  # (SETTINGS, n)
        likelihoods = -0.5 * weights @ scaled - np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        likeliest = np.argsort(-likelihoods, kind="stable")[:AVERAGED]
        self._settings, self._lower, self._weights = settings[likeliest], lower[likeliest], weights[likeliest]
        shares = np.exp(likelihoods[likeliest] - likelihoods[likeliest[0]])
        self._shares = shares / shares.sum()

    def predict(self, points: np.ndarray, families: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (m,) of the function, without the noise, at points (m, D) of families (m,)."""
        cross = self._kernel(points, families, self._settings)  # (AVERAGED, m, n)
        means = np.einsum("kmn,kn->km", cross, self._weights)
        smooth, slopes, shared = np.square(self._settings[:, -4:-1]).T
        prior = smooth + shared + slopes * (1 + (points * points).sum(axis=1))[:, None]
        explained = [
            np.square(solve_triangular(lower, each.T, lower=True, check_finite=False)).sum(axis=0)
            for lower, each in zip(self._lower, cross, strict=True)
        ]
        variances = np.maximum(prior.T - explained, LEAST_VARIANCE)
        mean = self._shares @ means
        spread = self._shares @ (variances + np.square(means - mean))
        return mean * self._scale + self._mean, np.sqrt(spread) * self._scale

    def _kernel(self, points: np.ndarray, families: np.ndarray, settings: np.ndarray) -> np.ndarray:
        """Between points (m, D) and the observed ones, for each setting: (settings, m, n)."""
        r = np.sqrt(5 * np.tensordot(1 / np.square(settings[:, :-4]), self._distances(points), 1))
        matern = (1 + r + r * r / 3) * np.exp(-r)
        smooth, slopes, shared = (each[:, None, None] for each in np.square(settings[:, -4:-1]).T)
        same = families[:, None] == self._families[None, :]
        return np.asarray(smooth * matern + slopes * (1 + points @ self._points.T) + shared * same)

    def _distances(self, points: np.ndarray) -> np.ndarray:
        """Squared, for each group of features: (groups, m, n)."""
        ours = self._points
        squared = [
            (points[:, columns] ** 2).sum(axis=1)[:, None]
            + (ours[:, columns] ** 2).sum(axis=1)[None, :]
            - 2 * points[:, columns] @ ours[:, columns].T
            for columns in self._groups
        ]
        return np.maximum(squared, 0.0)


def _settings(groups: int) -> np.ndarray:
    """(SETTINGS, groups + 4): length scales; amplitudes of the Matérn part, the linear one and a family's; noise. Log-uniform, always the same."""
    limits = np.log([LENGTH_SCALES] * groups + [AMPLITUDES] * 3 + [NOISES])
    drawn = np.random.default_rng(0).random((SETTINGS, groups + 4))
    return np.exp(limits[:, 0] + drawn * (limits[:, 1] - limits[:, 0]))
