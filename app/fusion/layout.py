"""Where the operators of one fused block stand: ranks from top to bottom, and places within a rank. Pure.

The usual layered drawing (Sugiyama et al. 1981) in short: an operator's rank is the longest way to it, its place the mean of those
that it reads, moved aside where two would meet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

STEP = 1.0  # between two places of a rank


class Placed(NamedTuple):
    """Of each operator its rank and place, both from 0; the block's number of ranks, and its width in places."""

    at: Mapping[int, tuple[int, float]]
    ranks: int
    width: float


def place(operators: Sequence[int], graph: Sequence[Mapping[str, Any]]) -> Placed:
    """
    Args:
        operators: places in the report's `graph` of a block's members, each after what it reads.
    """
    inside = set(operators)
    rank: dict[int, int] = {}
    for number in operators:
        rank[number] = 1 + max((rank[source] for source in graph[number]["inputs"] if source in inside), default=-1)
    ranks = max(rank.values(), default=-1) + 1
    at: dict[int, float] = {}
    for level in range(ranks):
        members = [number for number in operators if rank[number] == level]
        wanted = {number: _wanted(number, graph, at, beside) for beside, number in enumerate(members)}
        for number, where in _spread(sorted(members, key=lambda number: wanted[number]), wanted):
            at[number] = where
    left = min(at.values(), default=0.0)
    return Placed(
        {number: (rank[number], at[number] - left) for number in operators}, ranks, max(at.values(), default=0.0) - left + STEP
    )


def _wanted(number: int, graph: Sequence[Mapping[str, Any]], at: Mapping[int, float], beside: int) -> float:
    above = [at[source] for source in graph[number]["inputs"] if source in at]
    return sum(above) / len(above) if above else float(beside)


def _spread(ordered: Sequence[int], wanted: Mapping[int, float]) -> list[tuple[int, float]]:
    """Those of one rank, left to right, at least a step apart, and their middle where it was wanted."""
    found: list[tuple[int, float]] = []
    for number in ordered:
        least = found[-1][1] + STEP if found else wanted[number]
        found.append((number, max(wanted[number], least)))
    if not found:
        return found
    shift = sum(where - wanted[number] for number, where in found) / len(found)
    return [(number, where - shift) for number, where in found]
