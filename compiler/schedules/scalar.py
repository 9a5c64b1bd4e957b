"""Operators on single numbers, in TIR."""

from collections.abc import Callable
from typing import Any

from tvm import tirx

from compiler.schedules import emit

UNARY: dict[str, Callable[[Any], Any]] = {
    "abs": lambda x: tirx.max(x, emit.number(0.0) - x),
    "negative": lambda x: emit.number(0.0) - x,
    "exp": emit.exp,
    "sqrt": tirx.sqrt,
    "erf": emit.erf,
    "tanh": emit.tanh,
    **{f"nn.{name}": function for name, function in emit.ACTIVATIONS.items()},
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "maximum": tirx.max,
    "minimum": tirx.min,
}
