"""The reward of one candidate, as CANAO section 3.3 defines it, and its baseline.

With several devices, L and rL are those of the device where L/rL is largest: the paper's reward for the one that decides, as a
candidate has to meet every limit, and budget is left only as far as it is left everywhere.
"""

from collections.abc import Mapping


def tightest(latencies_ms: Mapping[str, float], limits_ms: Mapping[str, float]) -> str:
    """Of the devices whose latency is known, the one where L/rL is largest; of equals the first."""
    return max(latencies_ms, key=lambda device: latencies_ms[device] / limits_ms[device])


def infeasible_reward(latency_ms: float, limit_ms: float) -> float:
    """(rL - L)/rL - 1, for L > rL: negative, and the lower the slower. Such a candidate is not trained."""
    return (limit_ms - latency_ms) / limit_ms - 1


def feasible_reward(latency_ms: float, limit_ms: float, accuracy: float, baseline: float | None) -> float:
    """(A - b) + L/rL, for L <= rL. `baseline` is b; before the first candidate there is none, and A - b is 0."""
    advantage = 0.0 if baseline is None else accuracy - baseline
    return advantage + latency_ms / limit_ms


def next_baseline(baseline: float | None, accuracy: float, decay: float) -> float:
    """b after one more trained candidate: the exponential moving average of the accuracies so far, in which the past weighs `decay`."""
    return accuracy if baseline is None else decay * baseline + (1 - decay) * accuracy
