"""x (R, K) @ weight (K, N) + bias, with an epilogue: an activation, a residual, LayerNorm of the rows.

Weights are packed in panels of `panel` columns, [N / panel][K][panel]. A task owns `row_block` rows and `panels_per_task`
panels; its inner loop keeps `tile_rows` x `panel` sums in registers over all of K. Where LayerNorm follows, a task owns whole
rows, and normalises them before it ends. Sizes of any kind work: the last panel is padded with zero weights, and its sums are
written only where there is a column. In groups, a panel's columns all read one part of x, so that nothing is multiplied by zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit

MOST_CANDIDATES = 5
TASKS_FOR_BALANCE = 8
PANEL_VECTORS = range(1, 7)
TILE_ROWS = (1, 2, 4, 6, 8, 12)
TASK_OVERHEAD = 2000.0  # cycles


@dataclass(frozen=True)
class Tile:
    tile_rows: int
    panel: int
    row_block: int
    panels_per_task: int


@dataclass(frozen=True)
class Linear:
    """What makes one linear kernel differ from another.

    Attributes:
        depth: columns of x that one output column reads.
        scaled: the residual has a factor a column.
        groups: parts of x; there are `groups * repeats` blocks of output columns, the i-th reads the (i % groups)-th part.
    """

    rows: int
    depth: int
    width: int
    activation: str = ""
    residual: bool = False
    epsilon: float | None = None
    scaled: bool = False
    groups: int = 1
    repeats: int = 1

    kind: ClassVar[str] = "linear"

    @classmethod
    def of(cls, value: Value, rows: int) -> "Linear":
        depth, width = value.inputs[1].shape
        attributes = value.attributes
        return cls(
            rows,
            depth,
            width,
            attributes.get("activation", ""),
            attributes.get("residual", False),
            attributes.get("epsilon"),
            attributes.get("scaled", False),
            attributes.get("groups", 1),
            attributes.get("repeats", 1),
        )

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.depth * self.width

    @property
    def blocks(self) -> int:
        return self.groups * self.repeats

    def panels(self, tile: Tile) -> int:
        return self.blocks * -(-self.width // self.blocks // tile.panel)

    def tasks(self, tile: Tile) -> int:
        return self.rows // tile.row_block * (self.panels(tile) // tile.panels_per_task)

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        """The most promising tiles by `cycles`, at most one for each way to share the work with one register tile."""
        ranked = sorted(self._all_tiles(isa), key=lambda tile: self.cycles(tile, isa, threads))
        return ranked[:MOST_CANDIDATES]

    def cycles(self, tile: Tile, isa: Isa, threads: int) -> float:
        """Cost model: arithmetic or loads of the register tile, panels re-read from L2 or beyond, uneven shares."""
        vectors = tile.panel // isa.lanes
        sums = tile.tile_rows * vectors
        arithmetic = max(sums / isa.fma_per_cycle, 4.0 * sums / max(sums, 8), (tile.tile_rows + vectors) / 2)
        tiles = self.panels(tile) * (self.rows // tile.tile_rows)
        inner = tiles * (self.depth * arithmetic + 40.0)
        panel_bytes = self.depth * tile.panel * 4
        weight_reads = self.panels(tile) * panel_bytes * (self.rows // tile.row_block) / 16
        input_reads = self.rows * self.depth * 4 * (self.panels(tile) // tile.panels_per_task) / 32
        if panel_bytes > isa.l2_bytes / 2:
            inner *= 1.15
        tasks = self.tasks(tile)
        share = -(-tasks // threads) * threads / tasks
        return (inner + weight_reads + input_reads) * share + tasks * TASK_OVERHEAD

    def _all_tiles(self, isa: Isa) -> Iterator[Tile]:
        for tile_rows in TILE_ROWS:
            for vectors in PANEL_VECTORS:
                if self.rows % tile_rows or tile_rows * vectors + vectors + 1 > isa.registers:
                    continue
                panel = vectors * isa.lanes
                panels = self.panels(Tile(tile_rows, panel, 0, 0))
                row_blocks = [size for size in (16, 32, 64, self.rows) if self.rows % size == 0 and size % tile_rows == 0]
                for row_block in dict.fromkeys(row_blocks or [self.rows]):
                    for share in [panels] if self.epsilon is not None else _shares(panels):
                        yield Tile(tile_rows, panel, row_block, share)

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        padded = self.panels(tile) * tile.panel
        names: list[tuple[str, tuple[int, ...], str]] = [
            ("x", (self.rows, self.depth * self.groups), "float32"),
            ("weight", (self.panels(tile), self.depth, tile.panel), "float32"),
            ("bias", (padded,), "float32"),
        ]
        if self.residual:
            names.append(("residual", (self.rows, self.width), "float32"))
        if self.scaled:
            names.append(("residual_scale", (self.width,), "float32"))
        if self.epsilon is not None:
            names += [("scale", (self.width,), "float32"), ("shift", (self.width,), "float32")]
        return [*names, ("y", (self.rows, self.width), "float32")]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        """As `parameters`, without the output."""
        source, weight, bias, *rest = value.inputs
        assert weight.data is not None
        assert bias.data is not None
        weights = [pack(block, tile.panel) for block in np.split(weight.data, self.blocks, axis=1)]
        biases = [pad(block, tile.panel) for block in np.split(bias.data, self.blocks)]
        operands: list[Value | np.ndarray] = [source, np.concatenate(weights), np.concatenate(biases)]
        return operands + [item if item.data is None else item.data for item in rest]

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(x: Any, weight: Any, bias: Any, *rest: Any) -> None:
            *extra, y = rest
            residual = extra.pop(0) if self.residual else None
            residual_scale = extra.pop(0) if self.scaled else None
            shares = self.panels(tile) // tile.panels_per_task
            with emit.tasks(self.tasks(tile)) as task:
                sums = emit.local(tile.tile_rows * (tile.panel // isa.lanes), isa.lanes)
                norm = None
                if self.epsilon is not None:
                    scale, shift = extra
                    norm = emit.LayerNorm(self.width, isa.lanes, scale, shift, self.epsilon)
                first_row = task // shares * tile.row_block
                with emit.loop(tile.panels_per_task) as step, emit.loop(tile.row_block // tile.tile_rows) as block:
                    panel = task % shares * tile.panels_per_task + step
                    row = first_row + block * tile.tile_rows
                    self._sum(x, weight, bias, sums, row, panel, tile, isa)
                    self._write(y, residual, residual_scale, sums, row, panel, tile, isa)
                if norm is not None:
                    with emit.loop(tile.row_block) as index:
                        norm.apply(y, first_row + index)

        return emit.kernel(symbol, self.parameters(tile), body)

    def _sum(self, x: Any, weight: Any, bias: Any, sums: Any, row: Any, panel: Any, tile: Tile, isa: Isa) -> None:
        """One register tile, all of K; the sums start at the bias."""
        grid = list(emit.grid(tile.tile_rows, tile.panel // isa.lanes))
        for _, vector, at in grid:
            with emit.lanes(isa.lanes) as lane:
                emit.store(sums, bias[panel * tile.panel + vector * isa.lanes + lane], at, lane)
        panels_a_block = self.panels(tile) // self.blocks
        part = panel // panels_a_block % self.groups * self.depth if self.groups > 1 else 0
        with emit.loop(self.depth) as k:
            for index, vector, at in grid:
                with emit.lanes(isa.lanes) as lane:
                    product = x[row + index, part + k] * weight[panel, k, vector * isa.lanes + lane]
                    emit.store(sums, sums[at, lane] + product, at, lane)

    def _write(self, y: Any, residual: Any, residual_scale: Any, sums: Any, row: Any, panel: Any, tile: Tile, isa: Isa) -> None:
        """The epilogue, and the columns that exist."""
        width, panels_a_block = self.width // self.blocks, self.panels(tile) // self.blocks
        block = panel // panels_a_block if self.blocks > 1 else 0
        for index, vector, at in emit.grid(tile.tile_rows, tile.panel // isa.lanes):
            column = (panel - block * panels_a_block) * tile.panel + vector * isa.lanes
            if self.activation:
                with emit.lanes(isa.lanes) as lane:
                    emit.store(sums, emit.activate(self.activation, sums[at, lane]), at, lane)

            def write(lane: Any, at: int = at, row: Any = row + index, column: Any = block * width + column) -> None:
                total = sums[at, lane]
                if residual is not None:
                    added = residual[row, column + lane]
                    total = total + (added if residual_scale is None else added * residual_scale[column + lane])
                emit.store(y, total, row, column + lane)

            emit.within(width, column, isa.lanes, width % tile.panel != 0, write)


def pack(weight: np.ndarray, panel: int) -> np.ndarray:
    """(K, N) -> (ceil(N / panel), K, panel), zero beyond N."""
    depth, width = weight.shape
    panels = -(-width // panel)
    padded = np.zeros((depth, panels * panel), np.float32)
    padded[:, :width] = weight
    return np.ascontiguousarray(padded.reshape(depth, panels, panel).transpose(1, 0, 2))


def pad(vector: np.ndarray, panel: int) -> np.ndarray:
    """(N,) -> (ceil(N / panel) * panel,), zero beyond N."""
    padded = np.zeros(-(-len(vector) // panel) * panel, np.float32)
    padded[: len(vector)] = vector
    return padded


def _shares(panels: int) -> list[int]:
    """Panels a task: divisors that leave a few tasks, so that threads that are held up hand on work."""
    divisors = [size for size in range(1, panels + 1) if panels % size == 0]
    return [size for size in divisors if 2 <= panels // size <= 4 * TASKS_FOR_BALANCE] or [divisors[-1]]
