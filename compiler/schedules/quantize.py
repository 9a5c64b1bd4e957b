"""Rows of x (R, K) as 8-bit integers, each with a scale of its own (`compiler.quantization`), laid out for `linear_int8`.

A row begins with its scale, on a cache line of its own, and goes on with words of four bytes each, which are `Isa.zero_point` above the
integers that they stand for.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from tvm import tirx
from tvm.tirx.script import builder as T

from compiler.isa import Isa
from compiler.precisions import LARGEST
from compiler.quantization import LEAST, STEP
from compiler.schedules import emit
from compiler.schedules.rewriting import Rewriting, Tile

SCALE_WORDS = emit.LINE_WORDS
BYTE = 0xFF


@dataclass(frozen=True)
class Quantize(Rewriting):
    kind: ClassVar[str] = "quantize"

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        words = SCALE_WORDS + self.width // STEP
        return [("x", (self.rows, self.width), "float32"), ("y", (self.rows, words), "int32")]

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        numbers = STEP * isa.lanes  # that fill a vector of words
        whole = self.width // numbers

        def body(x: Any, y: Any) -> None:
            with emit.tasks(self.tasks(tile)) as task:
                highest, factor = emit.Highest(isa.lanes), emit.local(1)
                with emit.loop(tile.row_block) as index:
                    row = task * tile.row_block + index
                    top = highest.of(self.width, lambda c: tirx.max(x[row, c], emit.number(0.0) - x[row, c]))
                    emit.store(factor, tirx.max(top, emit.number(LEAST)), 0)
                    emit.store(y, tirx.reinterpret("int32", factor[0] * emit.number(1 / LARGEST)), row, 0)
                    emit.store(factor, emit.number(LARGEST) / factor[0], 0)

                    def integers(column: Any, lanes: int) -> Any:
                        read = T.Ramp(column, 1, lanes) if lanes > 1 else column
                        scaled = x[row, read] * (T.Broadcast(factor[0], lanes) if lanes > 1 else factor[0])
                        whole_numbers = tirx.Cast(f"int32x{lanes}" if lanes > 1 else "int32", tirx.nearbyint(scaled))
                        zero = tirx.const(isa.zero_point, "int32")
                        return whole_numbers + (T.Broadcast(zero, lanes) if lanes > 1 else zero)

                    if whole:
                        with emit.loop(whole) as chunk:
                            quads = tirx.Cast(f"int8x{numbers}", integers(chunk * numbers, numbers))
                            place = T.Ramp(SCALE_WORDS + chunk * isa.lanes, 1, isa.lanes)
                            T.buffer_store(y, tirx.reinterpret(f"int32x{isa.lanes}", quads), [row, place])
                    if self.width > whole * numbers:
                        with emit.loop((self.width - whole * numbers) // STEP) as rest:
                            column = whole * numbers + rest * STEP
                            word = tirx.const(0, "int32")
                            for place in range(STEP):
                                byte = integers(column + place, 1) & tirx.const(BYTE, "int32")
                                word = word | byte << tirx.const(8 * place, "int32")
                            emit.store(y, word, row, SCALE_WORDS + whole * isa.lanes + rest)

        return emit.kernel(symbol, self.parameters(tile), body)
