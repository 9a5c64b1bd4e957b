"""x (G, M, K) @ y (G, K, N) of two activations, alone: a group is an attention head. The score matrix goes to memory.

The register tiles are those of `compiler.schedules.attention`: `tile_rows` x `vectors` sums over all of K, from operands that
lie as the graph has them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules.layout import plain, stored

TILES = ((4, 2), (4, 4), (8, 2), (8, 1), (2, 4), (4, 3), (1, 1))
MOST_CANDIDATES = 4
LEAST_TASKS = 6


@dataclass(frozen=True)
class Tile:
    """`splits` tasks share a group's rows."""

    tile_rows: int
    vectors: int
    splits: int


@dataclass(frozen=True)
class BatchMatmul:
    """Shapes as they lie in memory; `depth` is K without the rows that padding adds."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    depth: int

    kind: ClassVar[str] = "batch_matmul"

    @classmethod
    def of(cls, value: Value, rows: int, seq_len: int) -> "BatchMatmul | None":
        left, right = value.inputs
        shapes = plain(left.shape), plain(right.shape)
        groups = {shape[:-2] for shape in shapes}
        if left.is_constant or right.is_constant or len(groups) > 1 or len(shapes[0]) > 3:
            return None
        return cls(stored(left.shape, seq_len, rows), stored(right.shape, seq_len, rows), left.shape[-1])

    @property
    def groups(self) -> int:
        return self.left[0] if len(self.left) == 3 else 1

    @property
    def result(self) -> tuple[int, ...]:
        return (*self.left[:-1], self.right[-1])

    @property
    def flops(self) -> int:
        return 2 * self.groups * self.left[-2] * self.depth * self.right[-1]

    def tasks(self, tile: Tile) -> int:
        return self.groups * tile.splits

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        rows = self.left[-2]
        enough = min(LEAST_TASKS, 3 * threads)
        splits = next((count for count in (1, 2, 4) if self.groups * count >= enough and rows % (count * 8) == 0), 1)
        return [
            Tile(tile_rows, vectors, splits)
            for tile_rows, vectors in TILES
            if rows // splits % tile_rows == 0 and tile_rows * vectors + vectors + 1 <= isa.registers
        ][:MOST_CANDIDATES]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        return [("left", self.left, "float32"), ("right", self.right, "float32"), ("y", self.result, "float32")]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        return list(value.inputs)

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        share = self.left[-2] // tile.splits

        def body(left: Any, right: Any, y: Any) -> None:
            with emit.tasks(self.tasks(tile)) as task:
                sums = emit.local(tile.tile_rows * tile.vectors, isa.lanes)
                group = (task // tile.splits,) if len(self.left) == 3 else ()
                with emit.loop(share // tile.tile_rows) as block:
                    row = task % tile.splits * share + block * tile.tile_rows
                    for first, vectors, lanes, count in self._chunks(tile, isa):
                        with emit.loop(count) as chunk:
                            column = first + chunk * vectors * lanes
                            self._tile(left, right, y, sums, group, row, column, (tile.tile_rows, vectors, lanes))

        return emit.kernel(symbol, self.parameters(tile), body)

    def _chunks(self, tile: Tile, isa: Isa) -> list[tuple[int, int, int, int]]:
        """(first column, vectors, lanes of each, how many): whole tiles, the vectors that are left, the columns that are left."""
        width, lanes = self.right[-1], isa.lanes
        vectors = width // lanes
        whole, rest = vectors // tile.vectors, vectors % tile.vectors
        chunks = [(0, tile.vectors, lanes, whole)] if whole else []
        chunks += [(whole * tile.vectors * lanes, rest, lanes, 1)] if rest else []
        return chunks + ([(vectors * lanes, 1, width % lanes, 1)] if width % lanes else [])

    def _tile(
        self,
        left: Any,
        right: Any,
        y: Any,
        sums: Any,
        group: tuple[Any, ...],
        row: Any,
        column: Any,
        size: tuple[int, int, int],
    ) -> None:
        rows, vectors, lanes = size
        grid = list(emit.grid(rows, vectors))
        for _, _, at in grid:
            with emit.lanes(lanes) as lane:
                emit.store(sums, emit.number(0.0), at, lane)
        with emit.loop(self.depth) as k:
            for index, vector, at in grid:
                with emit.lanes(lanes) as lane:
                    product = left[(*group, row + index, k)] * right[(*group, k, column + vector * lanes + lane)]
                    emit.store(sums, sums[at, lane] + product, at, lane)
        for index, vector, at in grid:
            with emit.lanes(lanes) as lane:
                emit.store(y, sums[at, lane], *group, row + index, column + vector * lanes + lane)
