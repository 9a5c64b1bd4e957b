"""The next candidate worth a trial: the strategy's, unless it is known already.

A candidate that was tried, or that is at least as large in every dimension as one that was too slow, needs no trial: the
strategy is told its reward and asked again. A strategy that keeps repeating itself is helped out by enumeration. Of several
new samples the one gets the trial whose reward is best as far as latency tells, which is known well after one measurement:
with 8 trials there is none to spare for candidates far over the limit, or far below it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from engine.architecture import Architecture
from engine.reward import feasible_reward, infeasible_reward
from engine.space import SearchSpace, at_least_as_large
from engine.strategies import Outcome, Strategy

LARGEST_RESAMPLING = 24  # samples of the strategy for one trial
POOL_SIZE = 64  # candidates that enumeration compares


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


@dataclass(frozen=True)
class Proposal:
    """A candidate: `choices` index the options of the phase's decisions."""

    choices: tuple[int, ...]
    architecture: Architecture


def next_proposal(
    space: SearchSpace,
    strategy: Strategy,
    phase: int,
    depth: int | None,
    tried: Sequence[Tried],
    limit_ms: float,
    screened: int = 1,
) -> Proposal | None:
    """A candidate that is new and not known to be too slow; None when this phase (at this depth) has none left.

    Args:
        screened: new samples that are compared by predicted latency for one trial.
    """
    decisions = space.decisions(phase, depth)
    names = {str(each.architecture): each for each in tried}
    fresh: dict[str, Proposal] = {}
    replayed: set[str] = set()
    for _ in range(LARGEST_RESAMPLING):
        choices = strategy.propose(decisions)
        architecture = space.architecture(phase, choices)
        name = str(architecture)
        known = names[name].outcome(limit_ms) if name in names else known_outcome(architecture, tried, limit_ms)
        if known is None and name not in names:
            fresh[name] = Proposal(choices, architecture)
            if len(fresh) == screened or predicted_latency_ms(architecture, tried) is None:
                break
        # Once for each: a policy told of the same good candidate again and again would end up proposing nothing else.
        elif known is not None and name not in replayed:
            replayed.add(name)
            strategy.observe(decisions, choices, known)
    pool = list(fresh.values()) or _enumerated(space, phase, depth, tried, limit_ms)
    return max(pool, key=lambda proposal: _expected_reward(proposal.architecture, tried, limit_ms), default=None)


def known_outcome(architecture: Architecture, tried: Sequence[Tried], limit_ms: float) -> Outcome | None:
    """A bound on what a candidate is worth that must be too slow, as it is at least as large as one that was; None otherwise."""
    slower_than = [
        each.latency_ms
        for each in tried
        if each.latency_ms is not None and each.latency_ms > limit_ms and at_least_as_large(architecture, each.architecture)
    ]
    if not slower_than:
        return None
    return Outcome(infeasible_reward(max(slower_than), limit_ms), None, max(slower_than), limit_ms)


def predicted_latency_ms(architecture: Architecture, tried: Sequence[Tried]) -> float | None:
    """Its multiply-accumulates at the pace of the most similar candidate measured so far; None before the first one."""
    paces = [
        (_distance(architecture, each.architecture), each.latency_ms / each.architecture.mult_adds())
        for each in tried
        if each.latency_ms is not None
    ]
    return min(paces)[1] * architecture.mult_adds() if paces else None


def _expected_reward(architecture: Architecture, tried: Sequence[Tried], limit_ms: float) -> float:
    """The reward as far as latency tells, with an accuracy like the baseline's."""
    latency_ms = predicted_latency_ms(architecture, tried)
    if latency_ms is None:
        return 0.0
    if latency_ms > limit_ms:
        return infeasible_reward(latency_ms, limit_ms)
    return feasible_reward(latency_ms, limit_ms, 0.0, None)


def _distance(one: Architecture, other: Architecture) -> float:
    """How differently two architectures use the machine: the ratios of their depths, widths and sizes, as logarithms."""
    ratios = (one.layers / other.layers, one.hidden_size / other.hidden_size, one.mult_adds() / other.mult_adds())
    return sum(abs(math.log(ratio)) for ratio in ratios)


def _enumerated(space: SearchSpace, phase: int, depth: int | None, tried: Sequence[Tried], limit_ms: float) -> list[Proposal]:
    """New candidates that may fit, found without the strategy: by chance, else from small to large; empty when there is none."""
    names = {str(each.architecture) for each in tried}

    def may_fit(architecture: Architecture) -> bool:
        return known_outcome(architecture, tried, limit_ms) is None

    decisions = space.decisions(phase, depth)
    random = Random(len(tried))
    pool = []
    for _ in range(POOL_SIZE):
        choices = tuple(random.randrange(len(decision.options)) for decision in decisions)
        architecture = space.architecture(phase, choices)
        if str(architecture) not in names and may_fit(architecture):
            pool.append(Proposal(choices, architecture))
    if pool:
        return pool
    ascending = (Proposal(*found) for found in space.ascending(phase, depth, may_fit))
    smallest = next((found for found in ascending if str(found.architecture) not in names), None)
    return [] if smallest is None else [smallest]
