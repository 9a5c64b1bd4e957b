"""What kernels that write rows of x (R, K) anew, in another form, have in common."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules.layout import row_block


@dataclass(frozen=True)
class Tile:
    row_block: int


@dataclass(frozen=True)
class Rewriting:
    rows: int
    width: int

    @classmethod
    def of(cls, value: Value, rows: int) -> Self:
        return cls(rows, value.shape[-1])

    @property
    def flops(self) -> int:
        return 0

    def tasks(self, tile: Tile) -> int:
        return self.rows // tile.row_block

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        return [Tile(row_block(self.rows, 1))]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        return [value.inputs[0]]
