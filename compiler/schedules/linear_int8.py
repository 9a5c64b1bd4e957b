"""`linear` on 8-bit integers: x and weight as `quantize` makes them, products summed exactly in int32, then scaled to float32.

Everything else is `linear`'s: panels, blocks of K, epilogues. A step along K takes four numbers of each row. x has them side by side
in one word, `Isa.zero_point` above what they stand for, so that a broadcast word meets a panel's weights, four int8 of each column, in
the one to three instructions of `Isa.byte_dot`. Sums begin with -zero_point times the column's weights, which takes it out again. The
sums are exact: |product| < 2^15, so int32 holds 2^16 of them, and `Isa.largest_weight` keeps those of int16 from saturating.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, Self

import numpy as np
from tvm import tirx
from tvm.tirx.script import builder as T

from compiler.graph import Value
from compiler.isa import Isa
from compiler.precisions import LARGEST
from compiler.quantization import STEP, quantized
from compiler.schedules import emit
from compiler.schedules import linear as fp32
from compiler.schedules.quantize import SCALE_WORDS

PAIRED_ROWS = (2, 4, 8)
MATRIX_STEPS = 4  # that a vector of x holds: two products of matrices


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

    def step_cycles(self, rows: int, vectors: int, run: int, isa: Isa) -> float:
        """Multiplications have two ports; the additions of what is no single instruction find others."""
        products, loads = rows * vectors, vectors + rows / run
        parts = len(isa.byte_dot)
        multiplications: float = min(parts, 2)
        instructions = (parts + (parts > 1)) * products + loads
        if self._in_pairs(isa):
            multiplications, instructions = 0.5, products / 2 + loads + rows / 4 + vectors
        cycles = max(multiplications * products / isa.fma_per_cycle, 1.0, loads / 2, instructions / fp32.INSTRUCTIONS_PER_CYCLE)
        return cycles + self.side_cycles(rows, vectors, run, isa)

    def registers(self, rows: int, vectors: int, isa: Isa, transposed: bool = False) -> int:
        """Products on their way, and the ones that pmaddwd multiplies by, besides; or weights on their way to pairs of columns."""
        return (
            super().registers(rows, vectors, isa) + (2 if len(isa.byte_dot) > 1 else 0) + (4 - vectors if isa.matrix_dot else 0)
        )

    def tile_rows(self, isa: Isa) -> Sequence[int]:
        """Where two rows are multiplied at once, those that leave none over."""
        return PAIRED_ROWS if self._in_pairs(isa) else super().tile_rows(isa)

    def suits(self, tile: fp32.Tile, isa: Isa) -> bool:
        """A task's rows come in tiles of one height; two rows at once leave none over only where that is `tile_rows`."""
        return not self._in_pairs(isa) or tile.row_block % tile.tile_rows == 0

    def _in_pairs(self, isa: Isa) -> bool:
        return bool(isa.matrix_dot) and self.rows % max(PAIRED_ROWS) == 0 and self.steps % MATRIX_STEPS == 0

    def transposes(self, tile: fp32.Tile, isa: Isa) -> bool:
        """Never: x is a quarter as long, and begins with its scales."""
        return False

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
        sums = SumsI8mm if self._in_pairs(isa) else SumsInt8
        return sums(self, tile, isa, x, weight, bias, weight_scale, start)


class SumsInt8(fp32.Sums):
    """The same in int32; the bias comes in when the sums are scaled."""

    dtype = "int32"
    kept = "int32"

    def __init__(
        self, spec: LinearInt8, tile: fp32.Tile, isa: Isa, x: Any, weight: Any, bias: Any, weight_scale: Any, start: Any
    ) -> None:
        super().__init__(spec, tile, isa, x, weight, bias)
        self.weight_scale, self.starts, self.steps = weight_scale, start, spec.steps
        self.byte_dot, self.by_lane = isa.byte_dot, isa.by_lane

    def start(self, column: Any) -> Any:
        return self.starts[column]

    def add(self, row: Any, panel: Any, group: Any, first: Any, lane: int, rows: int) -> None:
        register = emit.vector(0, self.lanes)
        for index, vector, at in emit.grid(rows, self.vectors):

            def words(lanes: int, row: Any = row + index) -> Any:
                """A step's word of x, that often."""
                first_word = SCALE_WORDS + group * self.steps + first
                return replace(self.factors, lanes=lanes).take(self.x, "int32", lane, row, first_word)

            products = self._products(words, panel, first + lane, vector * self.lanes, self.registers[at, register])
            T.buffer_store(self.registers, products, [at, register])

    def _products(self, words: Callable[[int], Any], panel: Any, step: Any, column: int, sums: Any) -> Any:
        """A word's four numbers times four weights of each of a vector of columns, added to `sums`."""

        def both(start: int, lanes: int) -> list[Any]:
            """The numbers and the weights of `lanes` columns; what an instruction takes one lane of is its last operand."""
            weights = self.weight[panel, step, emit.vector(column + start, lanes)]
            operands = (weights, words(lanes)) if self.by_lane else (words(lanes), weights)
            return [tirx.reinterpret(f"int8x{STEP * lanes}", each) for each in operands]

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
        return tirx.Cast("float32", self.totals[at, lane]) * scale + self.bias[column]


class SumsI8mm(SumsInt8):
    """The same by products of matrices, of two rows by eight numbers and eight by two columns. Weights are as for the others, so that a
    model has them once: a shuffle puts two steps of a column side by side. Registers hold squares of two rows and two columns."""

    def __init__(self, spec: LinearInt8, tile: fp32.Tile, isa: Isa, *factors: Any) -> None:
        super().__init__(spec, tile, isa, *factors)
        self.matrix_dot = isa.matrix_dot
        self.totals = emit.local(tile.tile_rows * self.vectors, self.lanes, dtype=self.dtype)

    def start(self, column: Any) -> Any:
        return tirx.const(0, self.dtype)

    def multiply(self, row: Any, panel: Any, group: Any, start: Any, count: int, rows: int) -> None:
        with emit.loop(count // MATRIX_STEPS) as chunk:
            first = start + chunk * MATRIX_STEPS
            for step, vector, pair, two in product((0, 2), range(self.vectors), (0, 1), range(rows // 2)):
                column, word = vector * self.lanes, SCALE_WORDS + group * self.steps + first
                weights = [emit.load(self.weight, "int32", self.lanes, panel, first + step + each, column) for each in (0, 1)]
                numbers = [emit.load(self.x, "int32", MATRIX_STEPS, row + 2 * two + each, word) for each in (0, 1)]
                left, right = (
                    _of_two(numbers, step, step + 1, aside=False),
                    _of_two(weights, 2 * pair, 2 * pair + 1, aside=True),
                )
                at, register = two * 2 * self.vectors + 2 * vector + pair, emit.vector(0, self.lanes)
                square = T.call_llvm_pure_intrin("int32x4", self.matrix_dot, self.registers[at, register], left, right)
                T.buffer_store(self.registers, square, [at, register])

    def finish(self, rows: int) -> None:
        """From squares to rows."""
        register = emit.vector(0, self.lanes)
        for two, vector in product(range(rows // 2), range(self.vectors)):
            squares = [self.registers[two * 2 * self.vectors + 2 * vector + pair, register] for pair in (0, 1)]
            for row in (0, 1):
                whole = tirx.Shuffle(
                    squares, [tirx.const(index, "int32") for index in (2 * row, 2 * row + 1, 4 + 2 * row, 5 + 2 * row)]
                )
                T.buffer_store(self.totals, whole, [(2 * two + row) * self.vectors + vector, register])


def _of_two(words: Sequence[Any], first: int, second: int, *, aside: bool) -> Any:
    """Two words of each of two vectors of four, as bytes: one vector's after the other's, or side by side."""
    order = (first, 4 + first, second, 4 + second) if aside else (first, second, 4 + first, 4 + second)
    return tirx.reinterpret("int8x16", tirx.Shuffle(list(words), [tirx.const(index, "int32") for index in order]))
