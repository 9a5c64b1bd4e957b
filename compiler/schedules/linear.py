"""x (R, K) @ weight (K, N) + bias, with an epilogue: an activation, a residual, LayerNorm of the rows.

Weights are packed in panels of `panel` columns, [N / panel][K][panel]. A task owns `row_block` rows and `panels_per_task`
panels. It takes K in blocks of `depth_block`, so that a panel's block stays in the first-level cache while all of the task's rows
pass over it; the inner loop keeps a register tile of at most `tile_rows` x `panel` sums over one block (Goto and van de Geijn
2008, "Anatomy of High-Performance Matrix Multiplication", with packing done at compile time). Where LayerNorm follows, a task
owns whole rows, and normalises them before it ends. Sizes of any kind work: the last panel is padded with zero weights, and its
sums are written only where there is a column. In groups, a panel's columns all read one part of x, so that nothing is
multiplied by zero. Where a multiply-add takes its factor out of a vector, a task first transposes its rows of x, so that one vector holds
a column of several rows: a register tile then keeps few vectors of x, and has the more sums.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import gcd
from typing import Any, ClassVar, Self

import numpy as np
from tvm.tirx.script import builder as T

from compiler.graph import Value
from compiler.isa import Isa
from compiler.schedules import emit

MOST_CANDIDATES = 6
SAME_REGISTER_TILE = 3
MOST_CANDIDATES_OF_A_PANEL = 3
TASKS_FOR_BALANCE = 8
PANEL_VECTORS = range(1, 7)
TILE_ROWS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14)
TILE_ROWS_BY_LANE = (1, 2, 4, 8)
LEAST_DEPTH_BLOCK = 64
TASK_OVERHEAD = 2000.0  # cycles
TILE_OVERHEAD = 12.0  # cycles around a register tile's inner loop
LOOP_INSTRUCTIONS = 2.5  # a vector of x
SIDE_CYCLES = 0.1  # assumed: most instructions find a free place beside multiply-adds
TRANSPOSE_CYCLES = 1.5  # a vector: four or five instructions
LEAST_TRANSPOSED_PANELS = 4  # that read a task's rows of x, for which transposing them pays
TRANSPOSED_UNROLLED = (8, 4, 2, 1)  # steps a round
L1_SHARE = 0.6  # of the first-level cache that a panel's block and the rows beside it may fill
L2_BYTES_PER_CYCLE = 20.0
LINE_CYCLES = 20.0  # of memory, for each line beyond `Isa.lines_under_way`
LEAST_ROW_BLOCK = 8
MOST_ROW_BLOCK = 64  # but for all rows at once
FMA_LATENCY = 4.0
INSTRUCTIONS_PER_CYCLE = 3.0  # assumed: half of what a core starts, as when its other thread is busy


@dataclass(frozen=True)
class Tile:
    tile_rows: int
    panel: int
    row_block: int
    panels_per_task: int
    depth_block: int


@dataclass(frozen=True)
class Linear:
    """What makes one linear kernel differ from another.

    Attributes:
        depth: columns of x that one output column reads.
        scaled: the residual has a factor a column.
        groups: parts of x; there are `groups * repeats` blocks of output columns, the i-th reads the (i % groups)-th part.
        panel: columns a panel must have, as weights are packed already for another sequence length; None leaves the choice.
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
    panel: int | None = None

    kind: ClassVar[str] = "linear"
    unrolled: ClassVar[tuple[int, ...]] = (4, 2, 1)  # steps of the inner loop, the first that divides a block of K

    @classmethod
    def of(cls, value: Value, rows: int) -> Self:
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

    @property
    def steps(self) -> int:
        """Of the inner loop along K."""
        return self.depth

    @property
    def output_dtype(self) -> str:
        return "float32"

    @property
    def activated_apart(self) -> bool:
        """Whether sums are written before the activation: several vectors of them side by side pay for the way only where there is much
        to do."""
        return bool(self.activation) and self.activation not in emit.OF_ONE_OPERATION

    def activated_in(self, isa: Isa) -> str:
        """The type that an activation apart is computed in."""
        return "float32"

    def step_words(self, panel: int) -> int:
        """Of 32 bits, a panel's weights of one step."""
        return panel

    def tile_rows(self, isa: Isa) -> Sequence[int]:
        """Rows that a register tile may have. By lane, those that leave none over, as the others' rows cannot be put side by side."""
        return TILE_ROWS_BY_LANE if isa.by_lane else TILE_ROWS

    def suits(self, tile: Tile, isa: Isa) -> bool:
        """Whether the arithmetic can take the heights that a task's register tiles have."""
        return True

    def lanes(self, isa: Isa) -> int:
        """Sums in a vector."""
        return isa.lanes

    def bits(self, isa: Isa) -> int:
        """Of a number of x as it is multiplied, or a word of several."""
        return 32

    def factors_of(self, isa: Isa, tile: Tile) -> emit.Factors:
        """How numbers of x meet a panel's weights."""
        return emit.Factors.of(isa, tile.depth_block, self.lanes(isa), self.bits(isa))

    def transposes(self, tile: Tile, isa: Isa) -> bool:
        """Whether a task transposes its rows of x first. Where some of its register tiles have fewer rows than others, it cannot."""
        return isa.by_lane and tile.row_block % tile.tile_rows == 0 and tile.panels_per_task >= LEAST_TRANSPOSED_PANELS

    def rows_a_vector(self, isa: Isa, tile_rows: int) -> int:
        """Of a register tile, whose numbers one vector of transposed x holds for a step."""
        return gcd(tile_rows, emit.VECTOR_BITS // self.bits(isa))

    def step_cycles(self, rows: int, vectors: int, run: int, isa: Isa) -> float:
        """Of one step of a register tile: arithmetic, latency, loads or instructions, whichever is longest. A load of x brings the
        numbers of `run` steps."""
        products, loads = rows * vectors, vectors + rows / run
        cycles = max(products / isa.fma_per_cycle, FMA_LATENCY, loads / 2, (products + loads) / INSTRUCTIONS_PER_CYCLE)
        return cycles + self.side_cycles(rows, vectors, run, isa)

    def side_cycles(self, rows: int, vectors: int, run: int, isa: Isa) -> float:
        """What instructions beside a step's products take of a phone's narrow cores, and of its battery: one loads two vectors of
        weights, or the numbers of x that `run` steps take."""
        return (vectors / 2 + (rows + LOOP_INSTRUCTIONS) / run) * SIDE_CYCLES if isa.by_lane else 0.0

    def transposed_cycles(self, rows: int, vectors: int, isa: Isa) -> float:
        """`step_cycles` where x is transposed: one instruction loads two of its vectors, too."""
        loads = (vectors + rows / self.rows_a_vector(isa, rows)) / 2
        rounds = LOOP_INSTRUCTIONS / TRANSPOSED_UNROLLED[0]
        return max(rows * vectors / isa.fma_per_cycle, FMA_LATENCY) + (loads + rounds) * SIDE_CYCLES

    def registers(self, rows: int, vectors: int, isa: Isa, transposed: bool = False) -> int:
        """That a register tile takes: sums, a step's weights, and of x one number, or vectors that lanes are taken of."""
        of_x = rows // self.rows_a_vector(isa, rows) if transposed else rows if isa.by_lane else 1
        return rows * vectors + vectors + of_x

    def panels(self, tile: Tile) -> int:
        return self.blocks * -(-self.width // self.blocks // tile.panel)

    def tasks(self, tile: Tile) -> int:
        return self.rows // tile.row_block * (self.panels(tile) // tile.panels_per_task)

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        """The most promising tiles by `cycles`, a few of each register tile, so that a wrong guess of the model costs little. None that has
        fewer tasks than there are threads, if another has enough."""
        every = list(self._all_tiles(isa))
        enough = [tile for tile in every if self.tasks(tile) >= threads] or every
        ranked = sorted(enough, key=lambda tile: self.cycles(tile, isa, threads))
        chosen: list[Tile] = []
        taken: dict[tuple[int, int], int] = {}
        for tile in ranked:
            register_tile = (tile.tile_rows, tile.panel)
            if taken.get(register_tile, 0) < SAME_REGISTER_TILE:
                taken[register_tile] = taken.get(register_tile, 0) + 1
                chosen.append(tile)
            if len(chosen) == (MOST_CANDIDATES if self.panel is None else MOST_CANDIDATES_OF_A_PANEL):
                break
        return chosen

    def cycles(self, tile: Tile, isa: Isa, threads: int) -> float:
        """Cost model: a register tile's arithmetic, loads or latency, whichever is longest; panels that the first-level cache does
        not hold; weights asked for faster than memory brings them; sums put away between blocks of K; uneven shares of the threads."""
        vectors = tile.panel // self.lanes(isa)
        step_bytes = 4 * self.step_words(tile.panel)
        panel_rate = step_bytes / L2_BYTES_PER_CYCLE
        fits = (step_bytes + 4 * tile.tile_rows) * tile.depth_block <= L1_SHARE * isa.l1_bytes
        blocks = self.steps // tile.depth_block
        late = max(0, self._lines_fetched(tile) - isa.lines_under_way) * LINE_CYCLES
        of_rows, transposes, run = 0.0, self.transposes(tile, isa), self.factors_of(isa, tile).run
        for _, rows, count in row_tiles(tile.row_block, tile.tile_rows):
            sums = rows * vectors
            step = self.transposed_cycles(rows, vectors, isa) if transposes else self.step_cycles(rows, vectors, run, isa)
            inner = tile.depth_block * (step if fits else max(step, panel_rate) * 1.1)
            of_rows += count * blocks * (inner + TILE_OVERHEAD + late + (2 * sums if blocks > 1 else sums))
        tiles = self.rows // tile.row_block * self.panels(tile)
        fetched = step_bytes * self.steps / L2_BYTES_PER_CYCLE
        tasks = self.tasks(tile)
        share = -(-tasks // threads) * threads / tasks
        transposed = tile.row_block * self.depth * self.groups * self.bits(isa) / emit.VECTOR_BITS if transposes else 0.0
        return tiles * (of_rows + fetched) * share + tasks * (TASK_OVERHEAD + transposed * TRANSPOSE_CYCLES)

    def _all_tiles(self, isa: Isa) -> Iterator[Tile]:
        for tile_rows in self.tile_rows(isa):
            for vectors in PANEL_VECTORS if self.panel is None else [self.panel // self.lanes(isa)]:
                if tile_rows > self.rows:
                    continue
                panel = vectors * self.lanes(isa)
                panels = self.panels(Tile(tile_rows, panel, 0, 0, 0))
                shares = [panels] if self.epsilon is not None else _shares(panels)
                for row_block, depth_block, share in product(_row_blocks(self.rows, tile_rows), self.depth_blocks(), shares):
                    tile = Tile(tile_rows, panel, row_block, share, depth_block)
                    if (
                        self.suits(tile, isa)
                        and self.registers(tile_rows, vectors, isa, self.transposes(tile, isa)) <= isa.registers
                    ):
                        yield tile

    def depth_blocks(self) -> list[int]:
        """All of K, and what divides it evenly."""
        sizes = range(LEAST_DEPTH_BLOCK, self.steps)
        return [size for size in sizes if self.steps % size == 0 and size % 4 == 0] + [self.steps]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        names = self.factors(tile)
        if self.residual:
            names.append(("residual", (self.rows, self.width), "float32"))
        if self.scaled:
            names.append(("residual_scale", (self.width,), "float32"))
        if self.epsilon is not None:
            names += [("scale", (self.width,), "float32"), ("shift", (self.width,), "float32")]
        return [*names, ("y", (self.rows, self.width), self.output_dtype)]

    def factors(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        """The parameters that every epilogue comes after."""
        return [
            ("x", (self.rows, self.depth * self.groups), "float32"),
            ("weight", (self.panels(tile), self.depth, tile.panel), "float32"),
            ("bias", (self.panels(tile) * tile.panel,), "float32"),
        ]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        """As `parameters`, without the output."""
        source, weight, bias, *rest = value.inputs
        assert weight.data is not None
        assert bias.data is not None
        weights = [self.pack(block, tile.panel) for block in np.split(weight.data, self.blocks, axis=1)]
        biases = [pad(block, tile.panel) for block in np.split(bias.data, self.blocks)]
        packed = [np.concatenate(parts) for parts in zip(*weights, strict=True)]
        operands: list[Value | np.ndarray] = [source, packed[0], np.concatenate(biases), *packed[1:]]
        return operands + [item if item.data is None else item.data for item in rest]

    def pack(self, weight: np.ndarray, panel: int) -> tuple[np.ndarray, ...]:
        """(K, N) as `factors` has it: the weight, and what follows the bias."""
        return (pack(weight, panel),)

    def sums(self, tile: Tile, isa: Isa, *factors: Any) -> "Sums":
        """The arithmetic, on the buffers of `factors`."""
        x, weight, bias = factors
        return Sums(self, tile, isa, x, weight, bias)

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        factors = len(self.factors(tile))

        def body(*buffers: Any) -> None:
            weight = buffers[1]
            *extra, y = buffers[factors:]
            residual = extra.pop(0) if self.residual else None
            residual_scale = extra.pop(0) if self.scaled else None
            shares = self.panels(tile) // tile.panels_per_task
            with emit.tasks(self.tasks(tile)) as task:
                sums = self.sums(tile, isa, *buffers[:factors])
                blocks = self.steps // tile.depth_block
                norm = None
                if self.epsilon is not None:
                    scale, shift = extra
                    norm = emit.LayerNorm(self.width, isa.lanes, scale, shift, self.epsilon)
                first_row = task // shares * tile.row_block
                if self.transposes(tile, isa):
                    sums.transpose(first_row, tile)

                def block(number: Any, step: Any) -> None:
                    panel = task % shares * tile.panels_per_task + step
                    tiles_before = 0
                    for start, rows, count in row_tiles(tile.row_block, tile.tile_rows):
                        with emit.loop(count) as index:
                            at = start + index * rows
                            self._fetch_next(weight, panel, number, tiles_before + index, tile)
                            sums.begin(panel, at, rows)
                            self._sum(sums, first_row + at, panel, number, rows, tile)
                            if blocks > 1:
                                with emit.when(number < blocks - 1):
                                    sums.put_away(at, rows)
                            with emit.when(number == blocks - 1) if blocks > 1 else nullcontext():
                                self._write(y, residual, residual_scale, sums, first_row + at, panel, rows, tile, isa)
                        tiles_before += count
                    if self.activated_apart:
                        with emit.when(number == blocks - 1) if blocks > 1 else nullcontext():
                            self._activate(y, residual, residual_scale, first_row, panel, tile, isa)

                with emit.loop(tile.panels_per_task) as step:
                    if blocks > 1:
                        sums.prepare(task % shares * tile.panels_per_task + step, tile.row_block)
                    with emit.loop(blocks) as number:
                        block(number, step)
                if norm is not None:
                    with emit.loop(tile.row_block) as index:
                        norm.apply(y, first_row + index)

        return emit.kernel(symbol, self.parameters(tile), body)

    def _sum(self, sums: "Sums", row: Any, panel: Any, number: Any, rows: int, tile: Tile) -> None:
        """A register tile over one block of K."""
        sums.multiply(row, panel, self._group(panel, tile), number * tile.depth_block, tile.depth_block, rows)

    def _fetch_next(self, weight: Any, panel: Any, number: Any, row_tile: Any, tile: Tile) -> None:
        """Weights are used once an inference and come from memory: each register tile asks for its share of the next block, so that
        the first one to pass over that block does not wait for it."""
        numbers = emit.LINE_WORDS * tile.panel // self.step_words(tile.panel)  # of a cache line
        share = self._lines_fetched(tile)
        with emit.loop(share) as line:
            emit.prefetch(weight, panel, (number + 1) * tile.depth_block, (row_tile * share + line) * numbers)

    def _lines_fetched(self, tile: Tile) -> int:
        """A register tile's share of the cache lines of a panel's block."""
        lines = -(-tile.depth_block * self.step_words(tile.panel) // emit.LINE_WORDS)
        return -(-lines // sum(count for _, _, count in row_tiles(tile.row_block, tile.tile_rows)))

    def _group(self, panel: Any, tile: Tile) -> Any:
        """The part of x that a panel reads."""
        return panel // (self.panels(tile) // self.blocks) % self.groups if self.groups > 1 else 0

    def _write(
        self, y: Any, residual: Any, residual_scale: Any, sums: "Sums", row: Any, panel: Any, rows: int, tile: Tile, isa: Isa
    ) -> None:
        """The epilogue, and the columns that exist."""
        lanes = self.lanes(isa)
        sums.finish(rows)
        for index, vector, at in emit.grid(rows, tile.panel // lanes):
            first, column = self._column(panel, vector * lanes, tile)

            def write(
                lane: Any, row: Any = row + index, vector: int = vector, at: int = at, column: Any = first + column
            ) -> None:
                total = sums.result(row, panel, vector, at, lane)
                if not self.activated_apart:
                    total = self._end(total, residual, residual_scale, row, column + lane)
                emit.store(y, emit.cast(self.output_dtype, total), row, column + lane)

            emit.within(self.width // self.blocks, column, lanes, self._partial(tile), write)

    def _activate(self, y: Any, residual: Any, residual_scale: Any, first_row: Any, panel: Any, tile: Tile, isa: Isa) -> None:
        """What is left of the epilogue, once a panel's sums are all written: a loop that loads the activation's constants once."""
        dtype = self.activated_in(isa)
        lanes = isa.lanes * 32 // emit.bits(dtype)
        with emit.loop(tile.row_block) as index:
            row = first_row + index

            def activate(column: Any) -> None:
                total = self._end(emit.load(y, dtype, 1, row, column), residual, residual_scale, row, column, dtype)
                emit.store(y, total if dtype == self.output_dtype else emit.cast(self.output_dtype, total), row, column)

            if not self._partial(tile):
                first, column = self._column(panel, 0, tile)
                emit.together(tile.panel, lanes, lambda at: activate(first + column + at), isa)
                return
            for vector in range(tile.panel // lanes):
                first, column = self._column(panel, vector * lanes, tile)
                emit.within(self.width // self.blocks, column, lanes, True, partial(_shifted, activate, first + column))

    def _end(self, total: Any, residual: Any, residual_scale: Any, row: Any, column: Any, dtype: str = "float32") -> Any:
        """The activation, then the residual, of a sum of type `dtype`."""
        total = emit.activate(self.activation, total, self.output_dtype, dtype)
        if residual is None:
            return total
        added = residual[row, column]
        return total + (added if residual_scale is None else added * residual_scale[column])

    def _column(self, panel: Any, within: int, tile: Tile) -> tuple[Any, Any]:
        """Where the block of columns that a panel is of begins, and where a column of the panel lies in it."""
        panels_a_block = self.panels(tile) // self.blocks
        block = panel // panels_a_block if self.blocks > 1 else 0
        return block * (self.width // self.blocks), (panel - block * panels_a_block) * tile.panel + within

    def _partial(self, tile: Tile) -> bool:
        """Whether some panels have columns that do not exist."""
        return self.width // self.blocks % tile.panel != 0


class Sums:
    """A register tile of a task: its rows times a panel, summed along K in `dtype`, put away between blocks in `kept`."""

    dtype = "float32"
    kept = "float32"

    def __init__(self, spec: Linear, tile: Tile, isa: Isa, x: Any, weight: Any, bias: Any) -> None:
        self.depth, self.lanes, self.panel, self.unrolled = spec.depth, spec.lanes(isa), tile.panel, spec.unrolled
        self.vectors, self.factors = tile.panel // self.lanes, spec.factors_of(isa, tile)
        self.x, self.weight, self.bias = x, weight, bias
        self.registers = emit.local(tile.tile_rows * self.vectors, self.lanes, dtype=self.dtype)
        self.totals = self.registers
        blocks = spec.steps // tile.depth_block
        self.partial: Any = emit.local(tile.row_block, tile.panel, dtype=self.kept) if blocks > 1 else None
        self.width, self.transposed, self.first_row = spec.depth * spec.groups, None, None
        self.across = emit.Factors(spec.rows_a_vector(isa, tile.tile_rows), self.lanes)  # rows of a vector of transposed x

    def transpose(self, first_row: Any, tile: Tile) -> None:
        """Put the task's rows of x as its register tiles take them: a tile's rows side by side for each step along K."""
        rows, together = tile.tile_rows, self.across.run
        self.first_row, self.transposed = first_row, emit.local(tile.row_block * self.width, dtype=self.x.dtype)
        with emit.loop(tile.row_block // rows) as index:
            for group in range(0, rows, together):
                first = self._transposed(index * rows, 0, rows) + group
                emit.transpose(self.x, first_row + index * rows + group, self.transposed, first, rows, together, self.width)

    def _transposed(self, first: Any, step: Any, rows: int) -> Any:
        """Where the numbers of a step lie, of the register tile that begins with the task's row `first`."""
        return first * self.width + step * rows

    def number(self, row: Any, index: int, first: Any, lane: int, rows: int) -> Any:
        """A vector of nothing but the number that is `lane` behind `first` of x's row `row + index`."""
        if self.transposed is None:
            return self.factors.take(self.x, self.dtype, lane, row + index, first)
        lane_of_row = index % self.across.run
        at = self._transposed(row - self.first_row, first + lane, rows) + index - lane_of_row
        return self.across.take(self.transposed, self.dtype, lane_of_row, at)

    def prepare(self, panel: Any, rows: int) -> None:
        """Where K is in blocks, sums begin with what the block before has left: all blocks run the same code, which is compiled once."""
        with emit.loop(rows) as row:
            for vector in range(self.vectors):
                with emit.lanes(self.lanes) as lane:
                    column = vector * self.lanes + lane
                    emit.store(self.partial, self.start(panel * self.panel + column), row, column)

    def begin(self, panel: Any, at: Any, rows: int) -> None:
        for index, vector, position in emit.grid(rows, self.vectors):
            with emit.lanes(self.lanes) as lane:
                column = vector * self.lanes + lane
                start = self.start(panel * self.panel + column) if self.partial is None else self.partial[at + index, column]
                emit.store(self.registers, start, position, lane)

    def start(self, column: Any) -> Any:
        return self.bias[column]

    def multiply(self, row: Any, panel: Any, group: Any, start: Any, count: int, rows: int) -> None:
        """The products of `count` steps along K, from the `group`-th part of x."""
        if self.transposed is None:
            self.factors.each(count, self.unrolled, lambda first, lane: self.add(row, panel, group, start + first, lane, rows))
        else:
            emit.unrolled(count, TRANSPOSED_UNROLLED, lambda step: self.add(row, panel, group, start + step, 0, rows))

    def add(self, row: Any, panel: Any, group: Any, first: Any, lane: int, rows: int) -> None:
        """The products of the step along K that is `lane` behind `first`."""
        register = emit.vector(0, self.lanes)
        for index, vector, at in emit.grid(rows, self.vectors):
            x = self.number(row, index, group * self.depth + first, lane, rows)
            weight = emit.load(self.weight, self.dtype, self.lanes, panel, first + lane, vector * self.lanes)
            T.buffer_store(self.registers, self.registers[at, register] + x * weight, [at, register])

    def put_away(self, at: Any, rows: int) -> None:
        for index, vector, position in emit.grid(rows, self.vectors):
            with emit.lanes(self.lanes) as lane:
                emit.store(self.partial, self.registers[position, lane], at + index, vector * self.lanes + lane)

    def finish(self, rows: int) -> None:
        """Make `totals` of `registers`, once all of K is summed."""

    def result(self, row: Any, panel: Any, vector: int, at: int, lane: Any) -> Any:
        """A whole sum, in float32."""
        return self.totals[at, lane]


def _shifted(body: Callable[[Any], None], first: Any, at: Any) -> None:
    body(first + at)


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


def row_tiles(rows: int, tallest: int) -> list[tuple[int, int, int]]:
    """(first row, rows a tile, tiles): all rows in the fewest tiles of at most `tallest` rows, of at most two heights."""
    tiles = -(-rows // tallest)
    low, high_tiles = divmod(rows, tiles)
    if high_tiles == 0:
        return [(0, low, tiles)]
    return [(0, low + 1, high_tiles), (high_tiles * (low + 1), low, tiles - high_tiles)]


def _row_blocks(rows: int, tile_rows: int) -> list[int]:
    sizes = range(max(LEAST_ROW_BLOCK, tile_rows), min(MOST_ROW_BLOCK + 1, rows))
    return [size for size in sizes if rows % size == 0] + [rows]


def _shares(panels: int) -> list[int]:
    """Panels a task: divisors that leave a few tasks, so that threads that are held up hand on work."""
    divisors = [size for size in range(1, panels + 1) if panels % size == 0]
    return [size for size in divisors if 2 <= panels // size <= 4 * TASKS_FOR_BALANCE] or [divisors[-1]]
