"""Word, position and segment rows gathered, summed and normalised: token ids (R,) -> hidden states (R, E).

Each part may be missing, the norm as well. With `neighbours`, the next and the previous token's word rows stand beside a token's
own: (R, 3 E), zeros beyond the sentence's ends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from tvm import tirx

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit

ROW_BLOCKS = (16, 8, 4, 1)


@dataclass(frozen=True)
class Tile:
    row_block: int


@dataclass(frozen=True)
class Embedding:
    """`words` and `types` are numbers of rows, 0 where the block has no such table; `epsilon` is None where it has no norm."""

    rows: int
    seq_len: int
    width: int
    words: int
    positions: bool
    types: int
    epsilon: float | None
    affine: bool = True
    neighbours: bool = False

    kind: ClassVar[str] = "embedding"

    @classmethod
    def of(cls, value: Value, rows: int) -> "Embedding":
        seq_len, width = value.shape[-2:]
        words = value.inputs[0].shape[0] if value["words"] else 0
        first = 2 * value["words"] + value["positions"]
        types = value.inputs[first].shape[0] if value["types"] else 0
        sizes = (rows, seq_len, width, words)
        return cls(*sizes, value["positions"], types, value["epsilon"], value["affine"], value["neighbours"])

    @property
    def flops(self) -> int:
        return 0

    def tasks(self, tile: Tile) -> int:
        return self.rows // tile.row_block

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        return [Tile(next(size for size in ROW_BLOCKS if self.rows % size == 0))]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        names: list[tuple[str, tuple[int, ...], str]] = []
        if self.words:
            names += [("words", (self.words, self.width // 3 if self.neighbours else self.width), "float32")]
            names += [("ids", (self.rows,), "int32")]
        if self.positions:
            names.append(("positions", (self.rows, self.width), "float32"))
        if self.types:
            names += [("type_rows", (self.types, self.width), "float32"), ("types", (self.rows,), "int32")]
        if self.epsilon is not None and self.affine:
            names += [("scale", (self.width,), "float32"), ("shift", (self.width,), "float32")]
        return [*names, ("y", (self.rows, self.width), "float32")]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        operands: list[Value | np.ndarray] = [item if item.data is None else item.data for item in value.inputs]
        if self.positions:
            place = 2 if self.words else 0
            table = operands[place]
            assert isinstance(table, np.ndarray)
            rows = table.reshape(-1, self.width)[: self.rows]  # a shorter length reads the first of the longest one's
            operands[place] = np.pad(rows, ((0, self.rows - len(rows)), (0, 0)))
        return operands

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(*buffers: Any) -> None:
            with emit.tasks(self.tasks(tile)) as task:
                write = self._neighbours if self.neighbours else self._summed
                write(buffers, task * tile.row_block, tile, isa)

        return emit.kernel(symbol, self.parameters(tile), body)

    def _summed(self, buffers: tuple[Any, ...], first: Any, tile: Tile, isa: Isa) -> None:
        *rest, y = buffers
        words, ids = (rest.pop(0), rest.pop(0)) if self.words else (None, None)
        positions = rest.pop(0) if self.positions else None
        type_rows, types = (rest.pop(0), rest.pop(0)) if self.types else (None, None)
        scale, shift = rest or (None, None)
        norm = None if self.epsilon is None else emit.LayerNorm(self.width, isa.lanes, scale, shift, self.epsilon)
        with emit.loop(tile.row_block) as index:
            row = first + index

            def gather(column: Any) -> None:
                terms = []
                if words is not None and ids is not None:
                    terms.append(words[ids[row], column])
                if positions is not None:
                    terms.append(positions[row, column])
                if types is not None and type_rows is not None:
                    terms.append(type_rows[types[row], column])
                emit.store(y, sum(terms[1:], terms[0]), row, column)

            emit.columns(self.width, isa.lanes, gather)
            if norm is not None:
                norm.apply(y, row)

    def _neighbours(self, buffers: tuple[Any, ...], first: Any, tile: Tile, isa: Isa) -> None:
        words, ids, y = buffers
        width = self.width // 3
        with emit.loop(tile.row_block) as index:
            row = first + index
            emit.columns(self.width, isa.lanes, lambda column: emit.store(y, emit.number(0.0), row, column))
            for part, shift in enumerate((1, 0, -1)):
                with emit.when(tirx.all(row + shift >= 0, row + shift < self.seq_len)):
                    emit.columns(width, isa.lanes, _copy(words, ids, y, row, shift, part * width))


def _copy(words: Any, ids: Any, y: Any, row: Any, shift: int, start: int) -> Callable[[Any], None]:
    return lambda column: emit.store(y, words[ids[row + shift], column], row, start + column)
