"""Rows of a table picked by token ids, alone: (R,) -> (R, E)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules.layout import row_block


@dataclass(frozen=True)
class Tile:
    row_block: int


@dataclass(frozen=True)
class Gather:
    rows: int
    entries: int
    width: int

    kind: ClassVar[str] = "gather"

    @classmethod
    def of(cls, value: Value, rows: int, seq_len: int) -> "Gather | None":
        return cls(rows, *value.inputs[0].shape) if value.shape[-2] == seq_len else None

    @property
    def flops(self) -> int:
        return 0

    def tasks(self, tile: Tile) -> int:
        return self.rows // tile.row_block

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        return [Tile(row_block(self.rows))]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        return [
            ("table", (self.entries, self.width), "float32"),
            ("ids", (self.rows,), "int32"),
            ("y", (self.rows, self.width), "float32"),
        ]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        return [operand if operand.data is None else operand.data for operand in value.inputs]

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(table: Any, ids: Any, y: Any) -> None:
            with emit.tasks(self.tasks(tile)) as task, emit.loop(tile.row_block) as index:
                row = task * tile.row_block + index
                emit.columns(self.width, isa.lanes, lambda column: emit.store(y, table[ids[row], column], row, column))

        return emit.kernel(symbol, self.parameters(tile), body)
