"""Word, position and segment rows gathered, summed and normalised: token ids (R,) -> hidden states (R, E)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit

ROW_BLOCKS = (16, 8, 4, 1)


@dataclass(frozen=True)
class Tile:
    row_block: int


@dataclass(frozen=True)
class Embedding:
    """`types` is the number of segments, 0 where the model has none."""

    rows: int
    seq_len: int
    width: int
    words: int
    positions: bool
    types: int
    epsilon: float
    affine: bool = True

    kind: ClassVar[str] = "embedding"

    @classmethod
    def of(cls, value: Value, rows: int) -> "Embedding":
        words = value.inputs[0]
        types = value.inputs[2 + value["positions"]].shape[0] if value["types"] else 0
        sizes = (rows, value.shape[-2], words.shape[1], words.shape[0])
        return cls(*sizes, value["positions"], types, value["epsilon"], value.attributes.get("affine", True))

    @property
    def flops(self) -> int:
        return 0

    def tasks(self, tile: Tile) -> int:
        return self.rows // tile.row_block

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        return [Tile(next(size for size in ROW_BLOCKS if self.rows % size == 0))]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        names: list[tuple[str, tuple[int, ...], str]] = [
            ("words", (self.words, self.width), "float32"),
            ("ids", (self.rows,), "int32"),
        ]
        if self.positions:
            names.append(("positions", (self.rows, self.width), "float32"))
        if self.types:
            names += [("type_rows", (self.types, self.width), "float32"), ("types", (self.rows,), "int32")]
        if self.affine:
            names += [("scale", (self.width,), "float32"), ("shift", (self.width,), "float32")]
        return [*names, ("y", (self.rows, self.width), "float32")]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        operands: list[Value | np.ndarray] = [item if item.data is None else item.data for item in value.inputs]
        if self.positions:
            table = operands[2]
            assert isinstance(table, np.ndarray)
            rows = table.reshape(-1, self.width)[: self.rows]  # a shorter length reads the first of the longest one's
            operands[2] = np.pad(rows, ((0, self.rows - len(rows)), (0, 0)))
        return operands

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(words: Any, ids: Any, *rest: Any) -> None:
            *extra, y = rest
            scale, shift = (extra.pop(-2), extra.pop(-1)) if self.affine else (None, None)
            positions = extra.pop(0) if self.positions else None
            type_rows, types = extra if self.types else (None, None)
            with emit.tasks(self.tasks(tile)) as task:
                norm = emit.LayerNorm(self.width, isa.lanes, scale, shift, self.epsilon)
                with emit.loop(tile.row_block) as index:
                    row = task * tile.row_block + index

                    def gather(column: Any) -> None:
                        total = words[ids[row], column]
                        if positions is not None:
                            total = total + positions[row, column]
                        if types is not None and type_rows is not None:
                            total = total + type_rows[types[row], column]
                        emit.store(y, total, row, column)

                    emit.columns(self.width, isa.lanes, gather)
                    norm.apply(y, row)

        return emit.kernel(symbol, self.parameters(tile), body)
