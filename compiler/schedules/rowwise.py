"""One operator on rows, alone: mean (.., R, N) -> (.., R, 1); softmax and LayerNorm (.., R, N) -> (.., R, N)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules.layout import row_block, row_of, stored, tasks_of

MEAN, SOFTMAX, LAYER_NORM = "mean", "nn.softmax", "nn.layer_norm"


@dataclass(frozen=True)
class Tile:
    row_block: int


@dataclass(frozen=True)
class Rowwise:
    """`affine` and `epsilon` are LayerNorm's."""

    operator: str
    shape: tuple[int, ...]
    affine: bool = False
    epsilon: float = 0.0

    kind: ClassVar[str] = "rowwise"

    @classmethod
    def of(cls, value: Value, rows: int, seq_len: int) -> "Rowwise | None":
        source, *affine = value.inputs
        axes = value.attributes.get("axes" if value.operator == LAYER_NORM else "axis")
        last = axes in (-1, len(source.shape) - 1, (-1,), (len(source.shape) - 1,))
        shape = stored(source.shape, seq_len, rows)
        reduced = value.operator == MEAN and value.shape != (*source.shape[:-1], 1)
        most_axes = 2 if value.operator == LAYER_NORM else 3
        if not last or reduced or len(shape) > most_axes or not all(operand.is_constant for operand in affine):
            return None
        return cls(value.operator, shape, bool(affine), value.attributes.get("epsilon", 0.0))

    @property
    def flops(self) -> int:
        return 0

    def tasks(self, tile: Tile) -> int:
        return tasks_of(self.shape, tile.row_block)

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        return [Tile(row_block(self.shape[-2], self.shape[0] if len(self.shape) == 3 else 1))]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        width = self.shape[-1]
        vectors: list[tuple[str, tuple[int, ...], str]] = [("scale", (width,), "float32"), ("shift", (width,), "float32")]
        result = (*self.shape[:-1], 1) if self.operator == MEAN else self.shape
        return [("x", self.shape, "float32"), *(vectors if self.affine else []), ("y", result, "float32")]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        return [operand if operand.data is None else operand.data for operand in value.inputs]

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        width = self.shape[-1]

        def body(x: Any, *rest: Any) -> None:
            *affine, y = rest
            with emit.tasks(self.tasks(tile)) as task:
                reduction = emit.Reduction(isa.lanes)
                highest, inverse = emit.Highest(isa.lanes), emit.local(1)
                norm = None
                if self.operator == LAYER_NORM:
                    scale, shift = affine or (None, None)
                    norm = emit.LayerNorm(width, isa.lanes, scale, shift, self.epsilon)
                with emit.loop(tile.row_block) as index:
                    row = row_of(self.shape, tile.row_block, task, index)
                    if norm is not None:
                        emit.columns(width, isa.lanes, lambda c: emit.store(y, x[(*row, c)], *row, c))
                        norm.apply(y, *row)
                    elif self.operator == SOFTMAX:
                        top = highest.of(width, lambda c: x[(*row, c)])
                        emit.columns(width, isa.lanes, lambda c: emit.store(y, emit.exp(x[(*row, c)] - top), *row, c))
                        emit.store(inverse, emit.number(1.0) / reduction.sum(width, lambda c: y[(*row, c)]), 0)
                        emit.columns(width, isa.lanes, lambda c: emit.store(y, y[(*row, c)] * inverse[0], *row, c))
                    else:
                        total = reduction.sum(width, lambda c: x[(*row, c)])
                        emit.store(y, total * emit.number(1.0 / width), *row, 0)

        return emit.kernel(symbol, self.parameters(tile), body)
