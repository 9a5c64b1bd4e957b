"""A copy in another order, alone: attention's heads split, (R, A D) -> (A, R, D) or (A, D, S), and joined again."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules.layout import LEAST_TASKS, plain, stored

Shape = tuple[int, ...]
APART = -1


@dataclass(frozen=True)
class Tile:
    block: int


@dataclass(frozen=True)
class Transpose:
    """`view` and `axes` as the graph has them, without the batch; the operand and the result as they lie in memory, each with
    the view's axes or with two of them joined."""

    view: Shape
    axes: Shape
    source: Shape
    result: Shape
    joins: tuple[int, int]  # of the operand and of the result: the first of two axes that are one in memory, or APART

    kind: ClassVar[str] = "transpose"

    @classmethod
    def of(cls, value: Value, rows: int, seq_len: int) -> "Transpose | None":
        view, axes = value["view"], value["axes"]
        if len(view) == 4 and view[0] == 1 and axes[0] == 0:
            view, axes = view[1:], tuple(axis - 1 for axis in axes[1:])
        turned = tuple(view[axis] for axis in axes)
        source, result = plain(value.inputs[0].shape), plain(value.shape)
        joins = _join(view, source), _join(turned, result)
        if len(view) not in (2, 3) or joins[0] is None or joins[1] is None:
            return None
        in_memory, written = (stored(shape, seq_len, rows) for shape in (value.inputs[0].shape, value.shape))
        return cls(view, axes, in_memory, written, (joins[0], joins[1]))

    @property
    def flops(self) -> int:
        return 0

    def tasks(self, tile: Tile) -> int:
        return self.view[self.axes[0]] // tile.block

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        """A task has whole entries of the result's first axis."""
        first = self.view[self.axes[0]]
        least = min(LEAST_TASKS, first)
        return [Tile(max(size for size in range(1, first + 1) if first % size == 0 and first // size >= least))]

    def parameters(self, tile: Tile) -> list[tuple[str, Shape, str]]:
        return [("x", self.source, "float32"), ("y", self.result, "float32")]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        return list(value.inputs)

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        """The last axis that both sides share is copied by vectors; where the last one moved, elements are read in order."""
        last = len(self.view) - 1
        sizes = [self.view[axis] for axis in self.axes]

        def copy(x: Any, y: Any, out: list[Any]) -> None:
            at = [out[self.axes.index(axis)] for axis in range(len(self.view))]
            read = x[_joined(tuple(at), self.view, self.joins[0])]
            emit.store(y, read, *_joined(tuple(out), tuple(sizes), self.joins[1]))

        def body(x: Any, y: Any) -> None:
            with emit.tasks(self.tasks(tile)) as task, emit.loop(tile.block) as index:
                first = task * tile.block + index
                if last == 1:
                    emit.columns(sizes[1], isa.lanes, lambda column: copy(x, y, [first, column]))
                elif self.axes[last] == last:
                    with emit.loop(sizes[1]) as second:
                        emit.columns(sizes[2], isa.lanes, lambda column: copy(x, y, [first, second, column]))
                else:
                    with emit.loop(sizes[2]) as third, emit.loop(sizes[1]) as second:
                        copy(x, y, [first, second, third])

        return emit.kernel(symbol, self.parameters(tile), body)


def _join(view: Shape, memory: Shape) -> int | None:
    """Which two axes of a view lie as one in memory; None where more than two do."""
    if memory == view:
        return APART
    if len(view) == 3 and len(memory) == 2:
        if memory == (view[0], view[1] * view[2]):
            return 1
        if memory == (view[0] * view[1], view[2]) and view[0] == 1:
            return 0
    return None


def _joined(at: tuple[Any, ...], sizes: Shape, join: int) -> tuple[Any, ...]:
    if join == APART:
        return at
    return (*at[:join], at[join] * sizes[join + 1] + at[join + 1], *at[join + 2 :])
