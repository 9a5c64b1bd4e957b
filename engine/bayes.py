"""Bayesian optimisation: two Gaussian processes, of accuracy and of latency, tell of many candidates the one to try next: that with the largest
expected improvement of accuracy times the probability that it is within the limit (Gardner et al. 2014, "Bayesian Optimization with
Inequality Constraints", section 3.2).

CANAO's policy learns of a candidate one number, its reward; this strategy learns accuracy from those that were trained and latency from all
that were measured, as numbers of the sizes, and so judges what it has not seen. Layers and sizes are decided at once. A candidate is described
by its layers, its hidden size, its FFN sizes along its depth, and its multiply-accumulates, to which latency is in proportion at first. Those of
equal depth and hidden size are cut of one body, which came out better or worse than its sizes say: the processes know them as a family.
"""

import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import ndtr

from engine.gaussian_process import GaussianProcess
from engine.space import Decision
from engine.strategies import Outcome

FIRST = 3  # measured candidates before the model of accuracy is asked
FIRST_COMPARED = 8  # of which a first candidate is the largest that may fit
LARGEST_WHOLE = 4096  # choices of a space that is compared whole
DRAWN = 1024  # candidates of a larger one, by chance
NEIGHBOURS_OF = 8  # of the best so far, all that differ in one decision are in the pool
MOST_OBSERVED = 256  # that a model is made of: the best, and the latest
LIKELY = 0.5  # probability from which a candidate is taken to be within the limit
TOKENS = 128  # for which multiply-accumulates are counted
SMALLEST = 1e-300

Choices = tuple[int, ...]


class Bayes:
    """The `bayes` strategy (`engine.strategies.Strategy`). Its state is what was observed and proposed."""

    phases = 1
    weighs_latency = True

    def __init__(self, options: Mapping[str, int], seed: int = 0, state: Mapping[str, Any] | None = None) -> None:
        self._seed = seed
        self._draws: int = state["draws"] if state else 0
        self._seen: list[dict[str, Any]] = list(state["seen"]) if state else []
        self._proposed: list[list[Any]] = list(state["proposed"]) if state else []  # kinds, choices
        self._observed = {(tuple(each["kinds"]), tuple(each["choices"])) for each in self._seen}
        self._known: dict[tuple[str, ...], set[Choices]] = {}  # observed or proposed
        for kinds, choices in [*self._observed, *self._proposed]:
            self._known.setdefault(tuple(kinds), set()).add(tuple(choices))
        self._models: dict[str, tuple[Any, GaussianProcess]] = {}

    def propose(self, decisions: Sequence[Decision]) -> Choices:
        rng = random.Random(f"{self._seed}/{self._draws}")
        self._draws += 1
        kinds = _kinds(decisions)
        seen = [each for each in self._seen if each["kinds"] == kinds]
        known = self._known.setdefault(tuple(kinds), set())
        best = sorted((each for each in seen if each["fits"]), key=lambda each: -each["accuracy"])[:NEIGHBOURS_OF]
        pool = [each for each in _pool(decisions, [tuple(each["choices"]) for each in best], rng) if each not in known]
        if not pool:
            return tuple(rng.randrange(len(decision.options)) for decision in decisions)
        chosen = pool[self._best(decisions, pool, seen, rng)]
        self._proposed.append([kinds, list(chosen)])
        known.add(chosen)
        return chosen

    def observe(self, decisions: Sequence[Decision], choices: Sequence[int], outcome: Outcome) -> None:
        latency_ms, limit_ms = outcome.latency_ms, outcome.limit_ms
        fits = outcome.accuracy is not None and (latency_ms is None or limit_ms is None or latency_ms <= limit_ms)
        seen: dict[str, Any] = {
            "kinds": _kinds(decisions),
            "choices": list(_own(decisions, choices)),
            "accuracy": outcome.accuracy if outcome.accuracy is not None else outcome.reward if latency_ms is None else None,
            "latency_ms": latency_ms if outcome.measured else None,
            "limit_ms": limit_ms,
            "fits": fits or latency_ms is None,
        }
        key = tuple(seen["kinds"]), tuple(seen["choices"])
        if key not in self._observed:  # a candidate's second observation is the first one's replay
            self._observed.add(key)
            self._known.setdefault(key[0], set()).add(key[1])
            self._seen.append(seen)

    def probabilities(self, decisions: Sequence[Decision], choices: Sequence[int]) -> list[list[float]]:
        """It compares candidates, not options."""
        return []

    def to_state(self) -> dict[str, Any]:
        return {"draws": self._draws, "seen": list(self._seen), "proposed": list(self._proposed)}

    def _best(
        self, decisions: Sequence[Decision], pool: Sequence[Choices], seen: Sequence[Mapping[str, Any]], rng: random.Random
    ) -> int:
        """Which of the pool to try."""
        points, work = _described(decisions, pool)
        measured = [each for each in seen if each["latency_ms"] is not None]
        fitting = self._fitting(decisions, measured, points, work) if measured else np.ones(len(pool))
        scored = [each for each in seen if each["fits"]]
        if len(seen) < FIRST or not scored:
            likely = np.flatnonzero(fitting >= min(LIKELY, float(fitting.max())))
            return max(rng.sample(likely.tolist(), min(FIRST_COMPARED, len(likely))), key=lambda each: float(work[each]))
        accuracies = np.asarray([each["accuracy"] for each in scored])
        mean, deviation = self._model("accuracy", decisions, scored, accuracies, -accuracies).predict(points, _bodies(points))
        z = (mean - accuracies.max()) / deviation
        improvement = deviation * (z * ndtr(z) + np.exp(-z * z / 2) / math.sqrt(2 * math.pi))
        return int(np.argmax(np.log(np.maximum(improvement, SMALLEST)) + np.log(np.maximum(fitting, SMALLEST))))

    def _fitting(
        self, decisions: Sequence[Decision], measured: Sequence[Mapping[str, Any]], points: np.ndarray, work: np.ndarray
    ) -> np.ndarray:
        """The probability of each point to be within the limit, (m,). Modelled is the logarithm of milliseconds a multiply-accumulate."""
        limit = math.log(measured[-1]["limit_ms"])
        latencies = np.log([each["latency_ms"] for each in measured])
        _, theirs = _described(decisions, [tuple(each["choices"]) for each in measured])
        model = self._model("latency", decisions, measured, latencies - np.log(theirs), np.abs(latencies - limit))
        mean, deviation = model.predict(points, _bodies(points))
        return np.asarray(ndtr((limit - np.log(work) - mean) / deviation))

    def _model(
        self,
        name: str,
        decisions: Sequence[Decision],
        seen: Sequence[Mapping[str, Any]],
        targets: np.ndarray,
        order: np.ndarray,
    ) -> GaussianProcess:
        """Made of the first observations by `order` and the latest; anew only when there are more than the last time."""
        asked = (_kinds(decisions), len(seen))
        if name not in self._models or self._models[name][0] != asked:
            kept = _kept(order)
            points, _ = _described(decisions, [tuple(seen[index]["choices"]) for index in kept])
            groups = [0, 1, 2] + [3] * (points.shape[1] - 3)
            self._models[name] = asked, GaussianProcess(points, targets[kept], groups, _bodies(points))
        return self._models[name][1]


def _kept(order: np.ndarray) -> np.ndarray:
    """Which observations a model is made of: the first by `order`, and the latest."""
    count = len(order)
    if count <= MOST_OBSERVED:
        return np.arange(count)
    half = MOST_OBSERVED // 2
    earlier = np.argsort(order[: count - half], kind="stable")[:half]
    return np.concatenate([np.sort(earlier), np.arange(count - half, count)])


def _described(decisions: Sequence[Decision], many: Sequence[Choices]) -> tuple[np.ndarray, np.ndarray]:
    """Features (m, 3 + L) and work (m,), in multiply-accumulates of a sentence."""
    points, works = zip(*(_point(tuple(decisions), choices) for choices in many), strict=True)
    return np.asarray(points), np.asarray(works)


def _bodies(points: np.ndarray) -> np.ndarray:
    """(m,): equal for candidates of equal depth and hidden size, which are cut of one body (`engine.trunk`)."""
    return np.asarray(points[:, 0] + 1j * points[:, 1])


@lru_cache(maxsize=1 << 15)
def _point(decisions: tuple[Decision, ...], choices: Choices) -> tuple[tuple[float, ...], float]:
    """Features, mostly from 0 to 1: layers, hidden size, logarithm of the work, FFN sizes at L places along the depth; and the work."""
    sizes, largest = _sizes(decisions, choices), _sizes(decisions, [len(each.options) - 1 for each in decisions])
    work = sizes.work(largest.hidden)
    doublings = math.log2(work / largest.work(largest.hidden))
    relative = 1 + np.log2(np.divide(sizes.ffn_sizes, max(largest.ffn_sizes))) / 4
    places = np.linspace(0, 1, largest.layers)
    profile = np.interp(places, np.linspace(0, 1, len(relative)), relative) / math.sqrt(len(places))
    body = (sizes.layers / largest.layers, sizes.hidden / largest.hidden, 1 + doublings / 4)
    return (*body, *profile.tolist()), work


@dataclass(frozen=True)
class _Sizes:
    """What decisions say of an encoder; what they do not decide on is 1."""

    layers: int
    hidden: int
    ffn_sizes: tuple[int, ...]

    def work(self, embedding: int) -> float:
        """Multiply-accumulates of one sentence, whose embeddings have this size."""
        layers = self.layers * (4 * self.hidden**2 + 2 * TOKENS * self.hidden) + 2 * self.hidden * sum(self.ffn_sizes)
        return float(TOKENS * (layers + (0 if self.hidden == embedding else embedding * self.hidden)))


def _sizes(decisions: Sequence[Decision], choices: Sequence[int]) -> _Sizes:
    named = [(each.kind, each.options[choice]) for each, choice in zip(decisions, choices, strict=True)]
    ffn_sizes = [size for kind, size in named if kind == "ffn"]
    of = {kind: size for kind, size in named if kind != "ffn"}
    layers = of.get("depth", len(ffn_sizes))
    return _Sizes(layers, of.get("hidden", 1), tuple(ffn_sizes[:layers]) or (1,))


def _own(decisions: Sequence[Decision], choices: Sequence[int]) -> Choices:
    """The choices of a candidate in one form: those on layers that it has not are 0."""
    layers, ffn = _sizes(decisions, choices).layers, 0
    own = []
    for decision, choice in zip(decisions, choices, strict=True):
        ffn += decision.kind == "ffn"
        own.append(0 if decision.kind == "ffn" and ffn > layers else choice)
    return tuple(own)


def _pool(decisions: Sequence[Decision], best: Iterable[Choices], rng: random.Random) -> list[Choices]:
    """Candidates to compare, each once: all of a small space; else some by chance, and the neighbours of the best."""
    counts = [len(each.options) for each in decisions]
    if math.prod(counts) <= LARGEST_WHOLE:
        return list(_whole(tuple(decisions)))
    near = [
        (*choices[:place], option, *choices[place + 1 :])
        for choices in best
        for place, count in enumerate(counts)
        for option in range(count)
    ]
    drawn = [tuple(rng.randrange(count) for count in counts) for _ in range(DRAWN)]
    return list(dict.fromkeys(_own(decisions, choices) for choices in near + drawn))


@lru_cache(maxsize=8)
def _whole(decisions: tuple[Decision, ...]) -> tuple[Choices, ...]:
    every = itertools.product(*(range(len(each.options)) for each in decisions))
    return tuple(dict.fromkeys(_own(decisions, choices) for choices in every))


def _kinds(decisions: Sequence[Decision]) -> list[str]:
    """What two candidates must share for one to say something of the other."""
    return [f"{decision.kind}/{len(decision.options)}" for decision in decisions]
