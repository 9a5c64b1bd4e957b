"""`linear` on 8-bit integers: x and weight as `quantize` makes them, products summed exactly in int32, then scaled to float32.

Everything else is `linear`'s: panels, blocks of K, epilogues. A step along K takes two numbers of each row. x has them side by side
as int16 in one word, so that a broadcast word meets a panel's weights, two of each column, in one instruction that multiplies the
pairs and adds their products (x86's pmaddwd; with VNNI adding them to a sum is part of it, vpdpwssd). Weights are stored as int8
and widened as they are loaded, once for all rows of a register tile. The sums are exact: |product| < 2^14, so int32 holds 2^17 of
them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from tvm import tirx
from tvm.tirx.script import builder as T

from compiler.isa import Isa
from compiler.quantization import STEP, quantized
from compiler.schedules import emit
from compiler.schedules import linear as fp32
from compiler.schedules.quantize import SCALE_WORDS

WEIGHTS_A_WORD = 4


@dataclass(frozen=True)
class LinearInt8(fp32.Linear):
    kind: ClassVar[str] = "linear_int8"
    unrolled: ClassVar[tuple[int, ...]] = (2, 1)  # with four, sums leave their registers

    @property
    def steps(self) -> int:
        return self.depth // STEP

    def step_words(self, panel: int) -> int:
        return panel * STEP // WEIGHTS_A_WORD

    def step_cycles(self, rows: int, vectors: int, isa: Isa) -> float:
        """Multiplications and additions go to different ports where they are not one instruction, widening to the additions'."""
        products, loads = rows * vectors, rows + vectors
        instructions = ((1 if isa.pair_dot_adds else 2) * products + loads) / fp32.INSTRUCTIONS_PER_CYCLE
        return max(products / isa.fma_per_cycle + vectors / 4, 1.0, loads / 2, instructions)

    def registers(self, rows: int, vectors: int) -> int:
        return super().registers(rows, vectors) + 1

    def factors(self, tile: fp32.Tile) -> list[tuple[str, tuple[int, ...], str]]:
        panels = self.panels(tile)
        return [
            ("x", (self.rows, SCALE_WORDS + self.steps * self.groups), "int32"),
            ("weight", (panels, self.steps, self.step_words(tile.panel)), "int32"),
            ("bias", (panels * tile.panel,), "float32"),
            ("weight_scale", (panels * tile.panel,), "float32"),
        ]

    def pack(self, weight: np.ndarray, panel: int) -> tuple[np.ndarray, ...]:
        integers, scales = quantized(weight, axis=0)
        panels = fp32.pack(integers.astype(np.float32), panel).astype(np.int8)  # (P, K, panel)
        pairs = panels.reshape(len(panels), self.steps, STEP, panel).swapaxes(2, 3)  # a column's two side by side
        return np.ascontiguousarray(pairs).reshape(len(panels), self.steps, -1).view(np.int32), fp32.pad(
            scales.reshape(-1), panel
        )

    def sums(self, tile: fp32.Tile, isa: Isa, *factors: Any) -> fp32.Sums:
        x, weight, bias, weight_scale = factors
        return SumsInt8(self, tile, isa, x, weight, bias, weight_scale)


class SumsInt8(fp32.Sums):
    """The same in int32; the bias comes in when the sums are scaled."""

    dtype = "int32"

    def __init__(self, spec: LinearInt8, tile: fp32.Tile, isa: Isa, x: Any, weight: Any, bias: Any, weight_scale: Any) -> None:
        super().__init__(spec, tile, isa, x, weight, bias)
        self.weight_scale, self.steps, self.pair_dot = weight_scale, spec.steps, isa.pair_dot

    def start(self, column: Any) -> Any:
        return tirx.const(0, "int32")

    def add(self, row: Any, panel: Any, group: Any, step: Any, rows: int) -> None:
        pairs, words = f"int16x{STEP * self.lanes}", self.lanes * STEP // WEIGHTS_A_WORD
        for index, vector, at in emit.grid(rows, self.vectors):
            word = self.x[row + index, SCALE_WORDS + group * self.steps + step]
            packed = self.weight[panel, step, T.Ramp(vector * words, 1, words)]
            weights = tirx.Cast(pairs, tirx.reinterpret(f"int8x{STEP * self.lanes}", packed))
            numbers = tirx.reinterpret(pairs, T.Broadcast(word, self.lanes))
            products = T.call_llvm_pure_intrin(f"int32x{self.lanes}", self.pair_dot, numbers, weights)
            register = T.Ramp(0, 1, self.lanes)
            T.buffer_store(self.registers, self.registers[at, register] + products, [at, register])

    def result(self, row: Any, panel: Any, vector: int, at: int, lane: Any) -> Any:
        column = panel * self.panel + vector * self.lanes + lane
        scale = tirx.reinterpret("float32", self.x[row, 0]) * self.weight_scale[column]
        return tirx.Cast("float32", self.registers[at, lane]) * scale + self.bias[column]
