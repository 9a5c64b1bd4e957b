"""The next candidate worth a trial: the strategy's, unless it is known already.

A candidate that was tried, or that is at least as large in every dimension as one that was too slow, needs no trial: the
strategy is told its reward and asked again. A strategy that keeps repeating itself is helped out by enumeration. Of several
new samples the one gets the trial whose reward is best as far as latency tells, which is known well after one measurement:
with 8 trials there is none to spare for candidates far over the limit, or far below it. A strategy that weighs latency itself
gets the trial for its first new one.
"""

from dataclasses import dataclass
from random import Random

from engine.architecture import Architecture
from engine.history import History
from engine.reward import feasible_reward, infeasible_reward
from engine.space import SearchSpace
from engine.strategies import Strategy, weighs_latency

LARGEST_RESAMPLING = 24  # samples of the strategy for one trial
POOL_SIZE = 64  # candidates that enumeration compares


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
    history: History,
    limit_ms: float,
    screened: int = 1,
) -> Proposal | None:
    """A candidate that is new and not known to be too slow; None when this phase (at this depth) has none left.

    Args:
        screened: new samples that are compared by predicted latency for one trial.
    """
    decisions = space.decisions(phase, depth)
    wanted = 1 if weighs_latency(strategy) else screened
    fresh: dict[str, Proposal] = {}
    replayed: set[str] = set()
    for _ in range(LARGEST_RESAMPLING):
        choices = strategy.propose(decisions)
        architecture = space.architecture(phase, choices)
        name = str(architecture)
        known = history.known_outcome(architecture, limit_ms)
        if known is None and name not in history:
            fresh[name] = Proposal(choices, architecture)
            if len(fresh) == wanted or history.predicted_latency_ms(architecture) is None:
                break
        # Once for each: a policy told of the same good candidate again and again would end up proposing nothing else.
        elif known is not None and name not in replayed:
            replayed.add(name)
            strategy.observe(decisions, choices, known)
    pool = list(fresh.values()) or _enumerated(space, phase, depth, history, limit_ms)
    return max(pool, key=lambda proposal: _expected_reward(proposal.architecture, history, limit_ms), default=None)


def _expected_reward(architecture: Architecture, history: History, limit_ms: float) -> float:
    """The reward as far as latency tells, with an accuracy like the baseline's."""
    latency_ms = history.predicted_latency_ms(architecture)
    if latency_ms is None:
        return 0.0
    if latency_ms > limit_ms:
        return infeasible_reward(latency_ms, limit_ms)
    return feasible_reward(latency_ms, limit_ms, 0.0, None)


def _enumerated(space: SearchSpace, phase: int, depth: int | None, history: History, limit_ms: float) -> list[Proposal]:
    """New candidates that may fit, found without the strategy: by chance, else from small to large; empty when there is none."""

    def may_fit(architecture: Architecture) -> bool:
        return history.may_fit(architecture, limit_ms)

    decisions = space.decisions(phase, depth)
    random = Random(len(history))
    pool = []
    for _ in range(POOL_SIZE):
        choices = tuple(random.randrange(len(decision.options)) for decision in decisions)
        architecture = space.architecture(phase, choices)
        if str(architecture) not in history and may_fit(architecture):
            pool.append(Proposal(choices, architecture))
    if pool:
        return pool
    ascending = (Proposal(*found) for found in space.ascending(phase, depth, may_fit))
    smallest = next((found for found in ascending if str(found.architecture) not in history), None)
    return [] if smallest is None else [smallest]
