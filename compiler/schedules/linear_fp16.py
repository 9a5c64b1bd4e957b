"""`linear` on float16: half the bytes of weights and activations, and twice the products an instruction.

Everything else is `linear`'s. Where the processor has arithmetic on float16, products are summed in it over one block of K at most, and
blocks in float32: 256 sums cost about as many digits as rounding the factors does, a thousand would cost more. Elsewhere the same
tensors are read as float32.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from tvm import tirx

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules import linear as fp32

MOST_SUMMED = 256


@dataclass(frozen=True)
class LinearFp16(fp32.Linear):
    """`written`: the type of y."""

    written: str = "float32"

    kind: ClassVar[str] = "linear_fp16"

    @classmethod
    def of(cls, value: Value, rows: int) -> Self:
        return replace(super().of(value, rows), written=value.dtype)

    @property
    def output_dtype(self) -> str:
        return self.written

    def lanes(self, isa: Isa) -> int:
        return half_lanes(isa)

    def activated_in(self, isa: Isa) -> str:
        in_half = isa.half and self.written == "float16" and self.activation in emit.IN_HALF and not self.residual
        return "float16" if in_half else "float32"

    def bits(self, isa: Isa) -> int:
        return 16 if isa.half else 32

    def step_words(self, panel: int) -> int:
        return -(-panel // 2)

    def depth_blocks(self) -> list[int]:
        every = super().depth_blocks()
        return [size for size in every if size <= MOST_SUMMED] or every

    def factors(self, tile: fp32.Tile) -> list[tuple[str, tuple[int, ...], str]]:
        x, weight, bias = super().factors(tile)
        return [(*x[:2], "float16"), (*weight[:2], "float16"), bias]

    def sums(self, tile: fp32.Tile, isa: Isa, *factors: Any) -> fp32.Sums:
        return (SumsFp16 if isa.half else fp32.Sums)(self, tile, isa, *factors)


class SumsFp16(fp32.Sums):
    """A block of K in float16; what was summed before it, from the bias on, in float32."""

    dtype = "float16"

    def begin(self, panel: Any, at: Any, rows: int) -> None:
        self.at = at
        for _, _, position in emit.grid(rows, self.vectors):
            with emit.lanes(self.lanes) as lane:
                emit.store(self.registers, tirx.const(0.0, self.dtype), position, lane)

    def put_away(self, at: Any, rows: int) -> None:
        for index, vector, position in emit.grid(rows, self.vectors):
            with emit.lanes(self.lanes) as lane:
                column = vector * self.lanes + lane
                block = tirx.Cast("float32", self.registers[position, lane])
                emit.store(self.partial, self.partial[at + index, column] + block, at + index, column)

    def result(self, row: Any, panel: Any, vector: int, at: int, lane: Any) -> Any:
        column = vector * self.lanes + lane
        before = self.bias[panel * self.panel + column]
        if self.partial is not None:
            before = self.partial[self.at + at // self.vectors, column]
        return before + tirx.Cast("float32", self.totals[at, lane])


def half_lanes(isa: Isa) -> int:
    """Sums in a vector: of float16, or of the float32 that stand for them."""
    return isa.lanes * 2 if isa.half else isa.lanes
