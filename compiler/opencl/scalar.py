"""Operators on numbers in OpenCL C: those that compiler/schedules/scalar.py has for CPUs."""

from collections.abc import Sequence
from math import isinf

UNARY = {
    "abs": "fabs({})",
    "negative": "-({})",
    "exp": "exp({})",
    "sqrt": "sqrt({})",
    "erf": "erf({})",
    "tanh": "tanh({})",
    # Written for four numbers; for one, the compiler leaves the other three away.
    "nn.gelu": "gelu((float4)({})).x",
    "nn.gelu_tanh": "gelu_tanh((float4)({})).x",
    "nn.relu": "relu((float4)({})).x",
}
BINARY = {
    "add": "({} + {})",
    "subtract": "({} - {})",
    "multiply": "({} * {})",
    "divide": "({} / {})",
    "maximum": "fmax({}, {})",
    "minimum": "fmin({}, {})",
}


def literal(number: float) -> str:
    """A float constant."""
    if isinf(number):
        return "INFINITY" if number > 0 else "(-INFINITY)"
    return f"{float(number)!r}f"


def select(entries: Sequence[float], index: str) -> str:
    """The entry at an index, as selections."""
    chosen = literal(entries[0])
    for number, entry in enumerate(entries[1:], 1):
        if entry != entries[0]:
            chosen = f"({index} == {number} ? {literal(entry)} : {chosen})"
    return chosen


def horner(coefficients: Sequence[float]) -> str:
    """A polynomial in x, the lowest power first."""
    text = literal(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        text = f"({text} * (x) + {literal(coefficient)})"
    return text
