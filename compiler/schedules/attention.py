"""softmax(q k^T + mask) v for every head, from packed rows [q k v] (R, 3 H) to (R, H); the score matrix never leaves the cache.

A task owns a head, or a share of its queries. It copies the head's keys, transposed, and values to scratch memory, then for
each `tile_rows` queries: scores in registers, mask added, softmax of the rows, values summed in registers. Scores carry no
scale: the query weights do. Head sizes and sequence lengths of any kind are padded in the scratch only.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from tvm import tirx
from tvm.tirx.script import builder as T

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit

TILES = ((4, 2), (4, 4), (8, 2), (8, 1), (2, 4), (4, 3))
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
            for rows, vectors in (*TILES, (1, 1))
            if self.rows % rows == 0 and rows * vectors + vectors + 1 <= isa.registers
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
        keys_t, values = emit.local(size, keys, dtype=dtype), emit.local(self.seq_len, _round_up(size, lanes), dtype=dtype)
        mask, scores = emit.local(keys), emit.local(tile.tile_rows, keys)
        weights = scores if dtype == "float32" else emit.local(tile.tile_rows, keys, dtype=dtype)
        sums = emit.local(tile.tile_rows * tile.vectors, lanes, dtype=dtype)
        inverses, rows = emit.local(tile.tile_rows), _Rows(isa.lanes)
        self._transpose(qkv, keys_t, width + head * size, lanes)
        with emit.loop(self.seq_len) as j:
            first = 2 * width + head * size
            emit.columns(size, lanes, lambda c: emit.store(values, emit.load(qkv, dtype, 1, j, first + c), j, c))
            emit.store(mask, self._mask(tokens, j), j)
        if keys > self.seq_len:
            with emit.loop(keys - self.seq_len) as beyond:
                emit.store(mask, emit.number(emit.LOWEST), self.seq_len + beyond)
                with emit.loop(size) as k:
                    emit.store(keys_t, tirx.const(0.0, dtype), k, self.seq_len + beyond)
        share = self.rows // tile.splits
        with emit.loop(share // tile.tile_rows) as block:
            row = part * share + block * tile.tile_rows
            self._scores(qkv, keys_t, mask, scores, sums, row, head, keys, tile, lanes, isa)
            for index in range(tile.tile_rows):
                rows.softmax(scores, weights, index, keys, inverses)
            self._context(weights, values, sums, inverses, y, row, head, tile, lanes, isa)

    def _transpose(self, qkv: Any, keys_t: Any, first: Any, vector: int) -> None:
        """A head's keys, a vector of them at a time: one store in place of as many as it has lanes."""
        whole = self.seq_len // vector

        def move(j: Any, k: Any) -> None:
            emit.store(keys_t, emit.load(qkv, keys_t.dtype, 1, j, first + k), k, j)

        if whole:
            with emit.loop(whole) as chunk, emit.loop(self.head_size) as k, emit.lanes(vector) as lane:
                move(chunk * vector + lane, k)
        if self.seq_len % vector:
            with emit.loop(self.seq_len % vector) as rest, emit.loop(self.head_size) as k:
                move(whole * vector + rest, k)

    def _mask(self, tokens: list[Any], j: Any) -> Any:
        """The table's entry for key j, as selections."""
        if not self.mask:
            return emit.number(0.0)
        bits, types = tokens
        rows = []
        for entries in self.mask:
            chosen = emit.number(max(entries[0], emit.LOWEST))
            for segment, entry in enumerate(entries[1:], 1):
                if entry != entries[0]:
                    chosen = tirx.Select(types[j] == segment, emit.number(max(entry, emit.LOWEST)), chosen)
            rows.append(chosen)
        return tirx.Select(bits[j] == 0, rows[0], rows[1])

    def _scores(
        self,
        qkv: Any, keys_t: Any, mask: Any, scores: Any, sums: Any, row: Any, head: Any, keys: int, tile: Tile, lanes: int, isa: Isa,
    ) -> None:  # fmt: skip
        """Sums of float32 begin with the mask; others, which cannot hold it, have it added."""
        whole = sums.dtype == "float32"
        for first, vectors, count in _chunks(keys // lanes, tile.vectors):
            grid = list(emit.grid(tile.tile_rows, vectors))
            with emit.loop(count) as chunk:
                base = (first + chunk * vectors) * lanes
                for _, vector, at in grid:
                    with emit.lanes(lanes) as lane:
                        emit.store(sums, mask[base + vector * lanes + lane] if whole else tirx.const(0.0, sums.dtype), at, lane)
                self._add(
                    sums,
                    grid,
                    self.head_size,
                    isa,
                    qkv,
                    lambda index: row + index,
                    head * self.head_size,
                    lambda k, column, base=base: (keys_t, k, base + column),
                )
                for index, vector, at in grid:
                    column = base + vector * lanes
                    with emit.lanes(lanes) as lane:
                        score = sums[at, lane] if whole else tirx.Cast("float32", sums[at, lane]) + mask[column + lane]
                        emit.store(scores, score, index, column + lane)

    def _context(
        self, weights: Any, values: Any, sums: Any, inverses: Any, y: Any, row: Any, head: Any, tile: Tile, lanes: int, isa: Isa
    ) -> None:
        size = self.head_size

        for first, vectors, count in _chunks(_round_up(size, lanes) // lanes, tile.vectors):
            grid = list(emit.grid(tile.tile_rows, vectors))
            with emit.loop(count) as chunk:
                base = (first + chunk * vectors) * lanes
                for _, _, at in grid:
                    with emit.lanes(lanes) as lane:
                        emit.store(sums, tirx.const(0.0, sums.dtype), at, lane)
                self._add(
                    sums,
                    grid,
                    self.seq_len,
                    isa,
                    weights,
                    lambda index: index,
                    0,
                    lambda j, column, base=base: (values, j, base + column),
                )
                for index, vector, at in grid:

                    def write(lane: Any, index: int = index, at: int = at, column: Any = base + vector * lanes) -> None:
                        context = emit.load(sums, "float32", 1, at, lane) * inverses[index]
                        emit.store(y, emit.cast(self.dtype, context), row + index, head * size + column + lane)

                    emit.within(size, base + vector * lanes, lanes, False, write)

    def _add(self, sums: Any, grid: Any, count: int, isa: Isa, left: Any, row: Any, first: Any, right: Any) -> None:
        """The products of left[row(index), first + k] and a vector at right(k, column), for `count` of k, to a register tile."""
        lanes = self.lanes(isa)
        factors, register = emit.Factors.of(isa, count, lanes, emit.bits(sums.dtype)), emit.vector(0, lanes)

        def add(start: Any, lane: int) -> None:
            for index, vector, at in grid:
                x = factors.take(left, sums.dtype, row(index), first + start, lane)
                buffer, *at_right = right(start + lane, vector * lanes)
                product = x * emit.load(buffer, sums.dtype, lanes, *at_right)
                T.buffer_store(sums, sums[at, register] + product, [at, register])

        factors.each(count, UNROLLED, add)


class _Rows:
    """Softmax of score rows, but for the division: the sums' inverses are kept, to be applied to the result."""

    def __init__(self, vector: int) -> None:
        self.vector = vector
        self.highest, self.top = emit.local(vector), emit.local(1)
        self.reduction = emit.Reduction(vector)

    def softmax(self, scores: Any, weights: Any, index: int, keys: int, inverses: Any) -> None:
        vector, highest, top = self.vector, self.highest, self.top
        with emit.lanes(vector) as lane:
            emit.store(highest, emit.number(2 * emit.LOWEST), lane)
        with emit.loop(keys // vector) as chunk, emit.lanes(vector) as lane:
            emit.store(highest, tirx.max(highest[lane], scores[index, chunk * vector + lane]), lane)
        emit.store(top, highest[0], 0)
        for lane in range(1, vector):
            emit.store(top, tirx.max(top[0], highest[lane]), 0)
        emit.together(
            keys, vector, lambda j: emit.store(weights, emit.cast(weights.dtype, emit.exp(scores[index, j] - top[0])), index, j)
        )
        total = self.reduction.sum(keys, lambda j: emit.load(weights, "float32", 1, index, j))
        emit.store(inverses, emit.number(1.0) / total, index)


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _chunks(total: int, size: int) -> list[tuple[int, int, int]]:
    """(first, size, count): whole chunks, then a smaller one for the rest."""
    whole = [(0, size, total // size)] if total >= size else []
    return whole + ([(total // size * size, total % size, 1)] if total % size else [])
