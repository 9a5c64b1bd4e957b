"""The compiler's own graph: values in single-assignment form, small enough to match patterns on by hand.

Relax is where programs come from (`compiler.relax_import`); here they are rewritten. A value knows which operators of the
imported program it stands for (`members`) and why they were put together (`laws`): that is a fused block's provenance.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

INPUT = "input"
CONSTANT = "constant"


@dataclass(frozen=True, eq=False)
class Member:
    """An operator of the imported program, the bytes of the tensor that it writes, and its FLOPs (2 x multiply-accumulates).

    Two blocks that both compute it hold the same object. `inputs` are those whose tensors it reads.
    """

    operator: str
    bytes: int
    flops: int = 0
    inputs: tuple["Member", ...] = field(
        default=(), repr=False
    )  # or a program's end would be written with all that is before it


@dataclass(frozen=True, eq=False)
class Value:
    """One tensor and the operator that makes it.

    Attributes:
        operator: a Relax operator without its `relax.` prefix, a block kind, or `input` / `constant`.
        data: a constant's numbers.
        members: operators of the imported program that this value stands for, in order.
        laws: computation laws and access patterns that merged them, in the order applied.
    """

    operator: str
    inputs: tuple["Value", ...]
    shape: tuple[int, ...]
    dtype: str = "float32"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    data: np.ndarray | None = None
    name: str = ""
    members: tuple[Member, ...] = ()
    laws: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def is_constant(self) -> bool:
        return self.operator == CONSTANT

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes[attribute]

    def with_inputs(self, inputs: tuple["Value", ...]) -> "Value":
        return self if inputs == self.inputs else replace(self, inputs=inputs)

    def with_attributes(self, **attributes: Any) -> "Value":
        return replace(self, attributes={**self.attributes, **attributes})


@dataclass(frozen=True)
class Graph:
    """A program of one output. `inputs` keep their order even where the program does not use one."""

    inputs: tuple[Value, ...]
    output: Value

    def values(self) -> list[Value]:
        """Every value the output needs, each after its inputs."""
        order: list[Value] = []
        seen: set[Value] = set()
        stack: list[tuple[Value, bool]] = [(self.output, False)]
        while stack:
            value, entered = stack.pop()
            if entered:
                order.append(value)
            elif value not in seen:
                seen.add(value)
                stack.append((value, True))
                stack.extend((operand, False) for operand in reversed(value.inputs))
        return order

    def users(self) -> dict[Value, list[Value]]:
        """The values that read each value, once for each time they read it."""
        readers: dict[Value, list[Value]] = {}
        for value in self.values():
            for operand in value.inputs:
                readers.setdefault(operand, []).append(value)
        return readers

    def input(self, name: str) -> Value:
        return next(value for value in self.inputs if value.name == name)

    def substitute(self, rewrites: Mapping[Value, Value]) -> "Graph":
        """The graph with values replaced; a replacement is written in terms of this graph's values."""

        def final(value: Value) -> Value:
            while value in rewrites:
                value = rewrites[value]
            return value

        done: dict[Value, Value] = {value: value for value in self.inputs}
        stack = [final(self.output)]
        while stack:
            value = stack[-1]
            operands = [final(operand) for operand in value.inputs]
            missing = [operand for operand in operands if operand not in done]
            if value not in done and missing:
                stack.extend(missing)
                continue
            done.setdefault(value, value.with_inputs(tuple(done[operand] for operand in operands if operand in done)))
            stack.pop()
        return Graph(self.inputs, done[final(self.output)])


def constant(data: np.ndarray, name: str = "") -> Value:
    """A value with known numbers."""
    return Value(CONSTANT, (), tuple(data.shape), str(data.dtype), data=data, name=name)


def fuse(operator: str, inputs: Iterable[Value], of: Iterable[Value], result: Value, law: str = "", **attributes: Any) -> Value:
    """A block that stands for the values `of` and yields what `result` yielded.

    Args:
        law: the computation law or access pattern that allows it; empty where nothing but a name changes.
    """
    replaced = list(dict.fromkeys(of))
    laws = dict.fromkeys(name for value in replaced for name in value.laws)
    if law:
        laws[law] = None
    members = tuple(dict.fromkeys(member for value in replaced for member in value.members))
    return Value(operator, tuple(inputs), result.shape, result.dtype, attributes, members=members, laws=tuple(laws))


def to_fixed_point(graph: Graph, rewrite: Callable[[Value], Value | None]) -> Graph:
    """The graph with every value replaced by its rewrite, again and again until none has one."""
    while rewrites := {value: better for value in graph.values() if (better := rewrite(value)) is not None}:
        graph = graph.substitute(rewrites)
    return graph


Pass = Callable[[Graph], Graph]
