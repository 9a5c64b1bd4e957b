"""softmax(q k^T + mask) v for every head, from packed rows [q k v] (R, 3 H) to (R, H); the score matrix never leaves the cache.

A task owns a head, or a share of its queries. It copies the head's keys, transposed, and values to scratch memory, then for
each `tile_rows` queries: scores in registers, mask added, softmax of the rows, values summed in registers. Scores carry no
scale: the query weights do. Head sizes and sequence lengths of any kind are padded in the scratch only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from tvm import tirx
from tvm.tirx.script import builder as T

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit

TILES = ((4, 2), (4, 4), (8, 2), (8, 1), (2, 4), (4, 3))
TILES_BY_LANE = ((4, 4), (8, 2), (2, 4), (4, 2))
LEAST_TASKS = 6
UNROLLED = (4, 2, 1)  # rounds of the loops that sum


@dataclass(frozen=True)
class Tile:
    """`vectors` of keys, or of a head's columns, are summed at once for `tile_rows` queries; `splits` tasks share a head."""

    tile_rows: int
    vectors: int
    splits: int


@dataclass(frozen=True)
class Attention:
    """`mask` is what is added to a key's scores: a row a mask bit, a column a segment; () leaves the mask away."""

    rows: int
    seq_len: int
    heads: int
    head_size: int
    mask: tuple[tuple[float, ...], ...] = ()

    kind: ClassVar[str] = "attention"
    dtype: ClassVar[str] = "float32"  # of qkv and y

    @classmethod
    def of(cls, value: Value, rows: int) -> Self:
        seq_len, width = value.shape[-2:]
        return cls(rows, seq_len, value["heads"], width // value["heads"], value.attributes.get("mask", ()))

    @property
    def flops(self) -> int:
        return 4 * self.rows * self.seq_len * self.heads * self.head_size

    def lanes(self, isa: Isa) -> int:
        """Sums in a vector."""
        return isa.lanes

    def summed(self, isa: Isa) -> str:
        """The type that products are summed in."""
        return "float32"

    def tasks(self, tile: Tile) -> int:
        return self.heads * tile.splits

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        fitting = [
            (rows, vectors)
            for rows, vectors in (*(TILES_BY_LANE if isa.by_lane else TILES), (1, 1))
            if self.rows % rows == 0 and rows * vectors + vectors + (rows if isa.by_lane else 1) <= isa.registers
        ]
        splits = next(
            (
                count
                for count in (1, 2, 4)
                if self.heads * count >= min(LEAST_TASKS, 3 * threads) and self.rows % (count * 8) == 0
            ),
            1,
        )
        return [Tile(rows, vectors, splits) for rows, vectors in fitting if self.rows // splits % rows == 0][:4]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        width = self.heads * self.head_size
        tokens: list[tuple[str, tuple[int, ...], str]] = [("mask", (self.rows,), "int32"), ("types", (self.rows,), "int32")]
        return [
            ("qkv", (self.rows, 3 * width), self.dtype),
            *(tokens if self.mask else []),
            ("y", (self.rows, width), self.dtype),
        ]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        return list(value.inputs)

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(qkv: Any, *rest: Any) -> None:
            *tokens, y = rest
            with emit.tasks(self.tasks(tile)) as task:
                self._head(qkv, tokens, y, task // tile.splits, task % tile.splits, tile, isa)

        return emit.kernel(symbol, self.parameters(tile), body)

    def _head(self, qkv: Any, tokens: list[Any], y: Any, head: Any, part: Any, tile: Tile, isa: Isa) -> None:
        size, lanes, dtype = self.head_size, self.lanes(isa), self.summed(isa)
        keys, width = _round_up(self.seq_len, lanes), self.heads * size
        keys_t = _Panels(size, keys // lanes, tile, lanes, dtype)
        values = _Panels(self.seq_len, -(-size // lanes), tile, lanes, dtype)
        mask, scores = emit.local(keys, dtype=dtype), emit.local(tile.tile_rows, keys, dtype=dtype)
        sums = emit.local(tile.tile_rows * tile.vectors, lanes, dtype=dtype)
        inverses, rows = emit.local(tile.tile_rows), _Rows(lanes, dtype, isa)
        # The innermost loops are over keys for keys, and over columns for values: a vector stored at once.
        keys_t.fill(self.seq_len, lambda k, j: emit.load(qkv, dtype, 1, j, width + head * size + k))
        values.fill(size, lambda j, c: emit.load(qkv, dtype, 1, j, 2 * width + head * size + c))
        with emit.loop(self.seq_len) as j:
            emit.store(mask, self._mask(tokens, j, dtype), j)
        if keys > self.seq_len:
            with emit.loop(keys - self.seq_len) as beyond:
                emit.store(mask, emit.number(emit.lowest(dtype), dtype), self.seq_len + beyond)
        share = self.rows // tile.splits
        with emit.loop(share // tile.tile_rows) as block:
            row = part * share + block * tile.tile_rows
            self._scores(qkv, keys_t, mask, scores, sums, row, head, keys, tile, lanes, isa)
            for index in range(tile.tile_rows):
                rows.softmax(scores, index, keys, inverses)
            self._context(scores, values, sums, inverses, y, row, head, tile, lanes, isa)

    def _mask(self, tokens: list[Any], j: Any, dtype: str) -> Any:
        """The table's entry for key j, as selections."""

        def number(entry: float) -> Any:
            return emit.number(max(entry, emit.lowest(dtype)), dtype)

        if not self.mask:
            return number(0.0)
        bits, types = tokens
        rows = []
        for entries in self.mask:
            chosen = number(entries[0])
            for segment, entry in enumerate(entries[1:], 1):
                if entry != entries[0]:
                    chosen = tirx.Select(types[j] == segment, number(entry), chosen)
            rows.append(chosen)
        return tirx.Select(bits[j] == 0, rows[0], rows[1])

    def _scores(
        self,
        qkv: Any, keys_t: Any, mask: Any, scores: Any, sums: Any, row: Any, head: Any, keys: int, tile: Tile, lanes: int, isa: Isa,
    ) -> None:  # fmt: skip
        for panel in keys_t.panels():
            base, grid = panel.base, list(emit.grid(tile.tile_rows, panel.vectors))
            for _, vector, at in grid:
                with emit.lanes(lanes) as lane:
                    emit.store(sums, mask[base + vector * lanes + lane], at, lane)
            self._add(sums, tile.tile_rows, panel, isa, qkv, lambda index: row + index, head * self.head_size)
            for index, vector, at in grid:
                with emit.lanes(lanes) as lane:
                    emit.store(scores, sums[at, lane], index, base + vector * lanes + lane)

    def _context(
        self, weights: Any, values: Any, sums: Any, inverses: Any, y: Any, row: Any, head: Any, tile: Tile, lanes: int, isa: Isa
    ) -> None:
        size = self.head_size

        for panel in values.panels():
            base, grid = panel.base, list(emit.grid(tile.tile_rows, panel.vectors))
            for _, _, at in grid:
                with emit.lanes(lanes) as lane:
                    emit.store(sums, tirx.const(0.0, sums.dtype), at, lane)
            self._add(sums, tile.tile_rows, panel, isa, weights, lambda index: index, 0)
            for index, vector, at in grid:

                def write(lane: Any, index: int = index, at: int = at, column: Any = base + vector * lanes) -> None:
                    context = emit.load(sums, "float32", 1, at, lane) * inverses[index]
                    emit.store(y, emit.cast(self.dtype, context), row + index, head * size + column + lane)

                emit.within(size, base + vector * lanes, lanes, False, write)

    def _add(self, sums: Any, rows: int, panel: "_Panel", isa: Isa, left: Any, row: Any, first: Any) -> None:
        """The products of left[row(index), first + k] and row k of a panel, for all of k, to a register tile."""
        lanes = self.lanes(isa)
        factors, register = emit.Factors.of(isa, panel.depth, lanes, emit.bits(sums.dtype)), emit.vector(0, lanes)

        def add(start: Any, lane: int) -> None:
            for index, vector, at in emit.grid(rows, panel.vectors):
                x = factors.take(left, sums.dtype, lane, row(index), first + start)
                product = x * emit.load(panel.buffer, sums.dtype, lanes, panel.at(start + lane, vector * lanes))
                T.buffer_store(sums, sums[at, register] + product, [at, register])

        factors.each(panel.depth, UNROLLED, add)


@dataclass(frozen=True)
class _Panel:
    """Columns from `base` on, as many vectors of them as a register tile has; [depth][vectors x lanes] in `buffer`."""

    buffer: Any
    depth: int
    base: Any
    vectors: int
    lanes: int

    def at(self, k: Any, column: Any) -> Any:
        """Where the `column`-th number of row k is."""
        return self.base * self.depth + k * (self.vectors * self.lanes) + column


class _Panels:
    """A matrix (depth, columns) in scratch memory as panels, so that what a loop over its rows reads lies side by side."""

    def __init__(self, depth: int, vectors: int, tile: Tile, lanes: int, dtype: str) -> None:
        self.depth, self.lanes, self.dtype = depth, lanes, dtype
        self.chunks = _chunks(vectors, tile.vectors)
        self.buffer = emit.local(depth * vectors * lanes, dtype=dtype)

    def panels(self) -> Iterator[_Panel]:
        """Each panel, within a loop over those of its size."""
        for first, vectors, count in self.chunks:
            with emit.loop(count) as chunk:
                yield _Panel(self.buffer, self.depth, (first + chunk * vectors) * self.lanes, vectors, self.lanes)

    def fill(self, columns: int, number: Callable[[Any, Any], Any]) -> None:
        """number(k, column) for all of `columns`, and zeros beside them."""
        for panel in self.panels():
            for vector in range(panel.vectors):
                self._fill(panel, vector * self.lanes, columns, number)

    def _fill(self, panel: _Panel, within: int, columns: int, number: Callable[[Any, Any], Any]) -> None:
        first = panel.base + within

        def store(k: Any, lane: Any, value: Any) -> None:
            emit.store(self.buffer, value, panel.at(k, within + lane))

        if columns % self.lanes == 0:
            with emit.loop(self.depth) as k, emit.lanes(self.lanes) as lane:
                store(k, lane, number(k, first + lane))
            return
        with emit.when(first + self.lanes <= columns), emit.loop(self.depth) as k, emit.lanes(self.lanes) as lane:
            store(k, lane, number(k, first + lane))
        with emit.when(first + self.lanes > columns), emit.loop(self.depth) as k, emit.loop(self.lanes) as lane:
            last = number(k, tirx.min(first + lane, columns - 1))
            store(k, lane, tirx.Select(first + lane < columns, last, tirx.const(0.0, self.dtype)))


class _Rows:
    """Softmax of score rows, but for the division: the sums' inverses are kept, to be applied to the result."""

    def __init__(self, lanes: int, dtype: str, isa: Isa) -> None:
        self.lanes, self.isa = lanes, isa
        self.highest, self.reduction = emit.Highest(lanes, dtype), emit.Reduction(lanes, dtype)
        self.exp = emit.exp_below_zero_half if dtype == "float16" else emit.exp_below_zero

    def softmax(self, scores: Any, index: int, keys: int, inverses: Any) -> None:
        """Of a row, in place."""
        top = self.highest.of(keys, lambda j: scores[index, j])

        def weigh(j: Any) -> None:
            emit.store(scores, self.exp(scores[index, j] - top), index, j)

        emit.together(keys, self.lanes, weigh, self.isa)
        total = self.reduction.sum(keys, lambda j: scores[index, j])
        emit.store(inverses, emit.number(1.0) / total, index)


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _chunks(total: int, size: int) -> list[tuple[int, int, int]]:
    """(first, size, count): whole chunks, then a smaller one for the rest."""
    whole = [(0, size, total // size)] if total >= size else []
    return whole + ([(total // size * size, total % size, 1)] if total % size else [])
