"""Rows of x (R, K) rounded to float16, for what reads them so."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from tvm import tirx

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules.layout import row_block


@dataclass(frozen=True)
class Tile:
    row_block: int


@dataclass(frozen=True)
class Half:
    rows: int
    width: int

    kind: ClassVar[str] = "half"

    @classmethod
    def of(cls, value: Value, rows: int) -> "Half":
        return cls(rows, value.shape[-1])

    @property
    def flops(self) -> int:
        return 0

    def tasks(self, tile: Tile) -> int:
        return self.rows // tile.row_block

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        return [Tile(row_block(self.rows, 1))]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        return [("x", (self.rows, self.width), "float32"), ("y", (self.rows, self.width), "float16")]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        return [value.inputs[0]]

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(x: Any, y: Any) -> None:
            with emit.tasks(self.tasks(tile)) as task, emit.loop(tile.row_block) as index:
                row = task * tile.row_block + index
                emit.columns(
                    self.width, 2 * isa.lanes, lambda column: emit.store(y, tirx.Cast("float16", x[row, column]), row, column)
                )

        return emit.kernel(symbol, self.parameters(tile), body)
