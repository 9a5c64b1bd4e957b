"""Rows of x (R, K) rounded to float16, for what reads them so."""

from dataclasses import dataclass
from typing import Any, ClassVar

from tvm import tirx

from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules.rewriting import Rewriting, Tile


@dataclass(frozen=True)
class Half(Rewriting):
    kind: ClassVar[str] = "half"

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        return [("x", (self.rows, self.width), "float32"), ("y", (self.rows, self.width), "float16")]

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(x: Any, y: Any) -> None:
            with emit.tasks(self.tasks(tile)) as task, emit.loop(tile.row_block) as index:
                row = task * tile.row_block + index
                emit.columns(
                    self.width, 2 * isa.lanes, lambda column: emit.store(y, tirx.Cast("float16", x[row, column]), row, column)
                )

        return emit.kernel(symbol, self.parameters(tile), body)
