"""One operator on elements, alone: activations of one shape, with others that have a number a row, or a column, or one in all."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules.layout import plain, row_block, row_of, stored, tasks_of
from compiler.schedules.scalar import BINARY, UNARY

FULL, ROW, COLUMN, NUMBER = "full", "row", "column", "number"


@dataclass(frozen=True)
class Tile:
    row_block: int


@dataclass(frozen=True)
class Elementwise:
    """`kinds` says how each operand spreads over the result; `numbers` holds those that are written into the code."""

    operator: str
    shape: tuple[int, ...]
    kinds: tuple[str, ...]
    numbers: tuple[float, ...]

    kind: ClassVar[str] = "elementwise"

    @classmethod
    def of(cls, value: Value, rows: int, seq_len: int) -> "Elementwise | None":
        known = (len(value.inputs) == 1 and value.operator in UNARY) or (len(value.inputs) == 2 and value.operator in BINARY)
        kinds = tuple(_kind(operand, value) for operand in value.inputs)
        shape = stored(value.shape, seq_len, rows)
        if not known or len(shape) > 3 or None in kinds or value.dtype != "float32":
            return None
        numbers = tuple(_number(operand) for operand, kind in zip(value.inputs, kinds, strict=True) if kind == NUMBER)
        return cls(value.operator, shape, tuple(kind or "" for kind in kinds), numbers)

    @property
    def flops(self) -> int:
        return 0

    def tasks(self, tile: Tile) -> int:
        return tasks_of(self.shape, tile.row_block)

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        groups = self.shape[0] if len(self.shape) == 3 else 1
        return [Tile(self.shape[-2] if self.shape[-1] == 1 else row_block(self.shape[-2], groups))]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        shapes = {FULL: self.shape, ROW: (*self.shape[:-1], 1), COLUMN: self.shape[-1:]}
        kinds = [kind for kind in self.kinds if kind != NUMBER]
        return [*((f"x{index}", shapes[kind], "float32") for index, kind in enumerate(kinds)), ("y", self.shape, "float32")]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        operands: list[Value | np.ndarray] = []
        read = [(operand, kind) for operand, kind in zip(value.inputs, self.kinds, strict=True) if kind != NUMBER]
        for (operand, kind), (_, shape, _) in zip(read, self.parameters(tile), strict=False):
            if operand.data is None:
                operands.append(operand)
            else:
                data = operand.data.reshape(-1) if kind == COLUMN else operand.data.reshape(plain(operand.shape))
                operands.append(np.pad(data, [(0, size - own) for size, own in zip(shape, data.shape, strict=True)]))
        return operands

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(*buffers: Any) -> None:
            *operands, y = buffers
            with emit.tasks(self.tasks(tile)) as task:
                if self.shape[-1] == 1:  # a number a row: rows are what a vector holds
                    emit.columns(
                        tile.row_block, isa.lanes, lambda index: self._store(y, operands, (*self._row(tile, task, index), 0))
                    )
                else:
                    with emit.loop(tile.row_block) as index:
                        row = self._row(tile, task, index)
                        emit.columns(self.shape[-1], isa.lanes, lambda column: self._store(y, operands, (*row, column)))

        return emit.kernel(symbol, self.parameters(tile), body)

    def _row(self, tile: Tile, task: Any, index: Any) -> tuple[Any, ...]:
        return row_of(self.shape, tile.row_block, task, index)

    def _store(self, y: Any, operands: list[Any], at: tuple[Any, ...]) -> None:
        buffers, numbers = iter(operands), iter(self.numbers)
        terms = [emit.number(next(numbers)) if kind == NUMBER else next(buffers)[_index(kind, at)] for kind in self.kinds]
        function: Callable[..., Any] = UNARY[self.operator] if len(terms) == 1 else BINARY[self.operator]
        emit.store(y, function(*terms), *at)


def _kind(operand: Value, result: Value) -> str | None:
    shape, whole = plain(operand.shape), plain(result.shape)
    if operand.is_constant and prod(shape) == 1:
        return NUMBER
    if shape == whole:
        return FULL
    if shape == (*whole[:-1], 1):
        return ROW
    return COLUMN if prod(shape) == shape[-1] == whole[-1] else None


def _number(operand: Value) -> float:
    assert operand.data is not None
    return float(operand.data.reshape(()))


def _index(kind: str, at: tuple[Any, ...]) -> Any:
    if kind == COLUMN:
        return at[-1]
    return at if kind == FULL else (*at[:-1], 0)
