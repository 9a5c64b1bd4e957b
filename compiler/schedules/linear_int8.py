"""`linear` on 8-bit integers: x and weight as `quantize` makes them, products summed exactly in int32, then scaled to float32.

Everything else is `linear`'s: panels, blocks of K, epilogues. A step along K takes four numbers of each row. x has them side by side
in one word, `Isa.zero_point` above what they stand for, so that a broadcast word meets a panel's weights, four int8 of each column, in
the one to three instructions of `Isa.byte_dot`. Sums begin with -zero_point times the column's weights, which takes it out again. The
sums are exact: |product| < 2^15, so int32 holds 2^16 of them, and `Isa.largest_weight` keeps those of int16 from saturating.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from tvm import tirx
from tvm.tirx.script import builder as T

from compiler.graph import Value
from compiler.isa import Isa
from compiler.quantization import LARGEST, STEP, quantized
from compiler.schedules import emit
from compiler.schedules import linear as fp32
from compiler.schedules.quantize import SCALE_WORDS


@dataclass(frozen=True)
class LinearInt8(fp32.Linear):
    """`largest_weight`, `zero_point`: the `Isa`'s."""

    largest_weight: int = LARGEST
    zero_point: int = 0

    kind: ClassVar[str] = "linear_int8"
    unrolled: ClassVar[tuple[int, ...]] = (2, 1)  # with four, sums leave their registers

    @classmethod
    def of(cls, value: Value, rows: int) -> Self:
        attributes = value.attributes
        return replace(
            super().of(value, rows), largest_weight=attributes["largest_weight"], zero_point=attributes["zero_point"]
        )

    @property
    def steps(self) -> int:
        return self.depth // STEP

    def step_cycles(self, rows: int, vectors: int, isa: Isa) -> float:
        """Multiplications have two ports; the additions of what is no single instruction find others."""
        products, loads = rows * vectors, rows + vectors
        parts = len(isa.byte_dot)
        multiplications = min(parts, 2)
        instructions = (parts + (parts > 1)) * products + loads
        return max(multiplications * products / isa.fma_per_cycle, 1.0, loads / 2, instructions / fp32.INSTRUCTIONS_PER_CYCLE)

    def registers(self, rows: int, vectors: int) -> int:
        """Products on their way, and the ones that pmaddwd multiplies by, besides."""
        return super().registers(rows, vectors) + 2

    def factors(self, tile: fp32.Tile) -> list[tuple[str, tuple[int, ...], str]]:
        panels = self.panels(tile)
        return [
            ("x", (self.rows, SCALE_WORDS + self.steps * self.groups), "int32"),
            ("weight", (panels, self.steps, self.step_words(tile.panel)), "int32"),
            ("bias", (panels * tile.panel,), "float32"),
            ("weight_scale", (panels * tile.panel,), "float32"),
            ("start", (panels * tile.panel,), "int32"),
        ]

    def pack(self, weight: np.ndarray, panel: int) -> tuple[np.ndarray, ...]:
        integers, scales = quantized(weight, axis=0, largest=self.largest_weight)
        panels = fp32.pack(integers, panel)  # (P, K, panel)
        start = (-self.zero_point * panels.sum(axis=1)).astype(np.int32).reshape(-1)
        words = (
            panels.astype(np.int8).reshape(len(panels), self.steps, STEP, panel).swapaxes(2, 3)
        )  # a column's four side by side
        packed = np.ascontiguousarray(words).reshape(len(panels), self.steps, -1).view(np.int32)
        return packed, fp32.pad(scales.reshape(-1), panel), start

    def sums(self, tile: fp32.Tile, isa: Isa, *factors: Any) -> fp32.Sums:
        x, weight, bias, weight_scale, start = factors
        return SumsInt8(self, tile, isa, x, weight, bias, weight_scale, start)


class SumsInt8(fp32.Sums):
    """The same in int32; the bias comes in when the sums are scaled."""

    dtype = "int32"

    def __init__(
        self, spec: LinearInt8, tile: fp32.Tile, isa: Isa, x: Any, weight: Any, bias: Any, weight_scale: Any, start: Any
    ) -> None:
        super().__init__(spec, tile, isa, x, weight, bias)
        self.weight_scale, self.starts, self.steps, self.byte_dot = weight_scale, start, spec.steps, isa.byte_dot

    def start(self, column: Any) -> Any:
        return self.starts[column]

    def add(self, row: Any, panel: Any, group: Any, step: Any, rows: int) -> None:
        for index, vector, at in emit.grid(rows, self.vectors):
            word = self.x[row + index, SCALE_WORDS + group * self.steps + step]
            register = T.Ramp(0, 1, self.lanes)
            products = self._products(word, panel, step, vector * self.lanes, self.registers[at, register])
            T.buffer_store(self.registers, products, [at, register])

    def _products(self, word: Any, panel: Any, step: Any, column: int, sums: Any) -> Any:
        """A word's four numbers times four weights of each of a vector of columns, added to `sums`."""

        def both(start: int, lanes: int) -> list[Any]:
            """The numbers and the weights of `lanes` columns."""
            weights = self.weight[panel, step, T.Ramp(column + start, 1, lanes)]
            return [tirx.reinterpret(f"int8x{STEP * lanes}", words) for words in (T.Broadcast(word, lanes), weights)]

        def call(number: int, dtype: str, *operands: Any) -> Any:
            return T.call_llvm_pure_intrin(dtype, self.byte_dot[number], *operands)

        total, pairs = f"int32x{self.lanes}", f"int16x{2 * self.lanes}"
        if len(self.byte_dot) == 1:
            return call(0, total, sums, *both(0, self.lanes))
        if len(self.byte_dot) == 2:
            ones = T.Broadcast(tirx.const(1, "int16"), 2 * self.lanes)
            return sums + call(1, total, call(0, pairs, *both(0, self.lanes)), ones)
        half = self.lanes // 2
        products = [call(0, pairs, *both(start, half)) for start in (0, half)]
        return sums + call(2, total, call(1, pairs, *products))

    def result(self, row: Any, panel: Any, vector: int, at: int, lane: Any) -> Any:
        column = panel * self.panel + vector * self.lanes + lane
        scale = tirx.reinterpret("float32", self.x[row, 0]) * self.weight_scale[column]
        return tirx.Cast("float32", self.registers[at, lane]) * scale + self.bias[column]
