"""The static plan of a model: where each tensor lies, which kernels run in which order, and the weights in their layouts.

A model of several sequence lengths has a program for each, over one arena and one copy of the weights.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from compiler.graph import Graph, Value
from compiler.isa import Isa
from compiler.kernels import Kernel, rows_of
from compiler.sharing import shared
from data.errors import CompileError

ALIGNMENT = 64
MAGIC = b"PFWGT01\0"
HEADER_BYTES = 64
MAX_ARGUMENTS = 24  # runtime/plan.h
MAX_AXES = 3
COMPARED = 16  # numbers at an array's start by which those that begin alike are found


@dataclass(frozen=True)
class Tensor:
    """A place in the arena or in the weights file."""

    in_weights: bool
    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Call:
    """A kernel on tensors, its rounds shared among threads or all on the calling one. `kernels`: it for each of the plan's levels."""

    kernels: tuple[Kernel, ...]
    tensors: tuple[int, ...]
    shared: bool

    @property
    def kernel(self) -> Kernel:
        return self.kernels[0]


@dataclass(frozen=True)
class Program:
    """What runs for sentences of up to `seq_len` tokens. `ids` and `output` are indices of `tensors`, as are the calls'."""

    seq_len: int
    tensors: tuple[Tensor, ...]
    calls: tuple[Call, ...]
    ids: tuple[int, int, int]
    output: int
    arena_bytes: int

    @property
    def flops(self) -> int:
        return sum(call.kernel.spec.flops for call in self.calls)


@dataclass(frozen=True)
class Plan:
    """Everything that runtime/plan.h declares. `programs` are in ascending order of their sequence lengths; `levels` are the instruction
    sets that there are kernels for, the best first: the runtime takes the first that its processor has."""

    levels: tuple[Isa, ...]
    outputs: int
    words: int
    types: int
    scratch_bytes: int
    programs: tuple[Program, ...]
    weights: "Weights"

    @property
    def longest(self) -> Program:
        return self.programs[-1]

    @property
    def seq_lens(self) -> tuple[int, ...]:
        return tuple(program.seq_len for program in self.programs)

    @property
    def arena_bytes(self) -> int:
        return max(program.arena_bytes for program in self.programs)


class Weights:
    """Packed weights, each on a cache line of its own. Equal ones are stored once, and one that another begins with, as position rows
    of a shorter sequence length are, not at all."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.size = HEADER_BYTES
        self._known: dict[bytes, int] = {}
        self._digest = hashlib.sha256()
        self._by_start: dict[bytes, list[tuple[int, np.ndarray]]] = {}

    def add(self, array: np.ndarray) -> int:
        """Offset in bytes."""
        array = np.ascontiguousarray(array)
        key = hashlib.sha256(array.data).digest() + repr(array.shape).encode()
        if key not in self._known:
            start = array.reshape(-1)[:COMPARED].tobytes() + repr((array.dtype, array.shape[1:])).encode()
            alike = self._by_start.setdefault(start, [])
            longer = (offset for offset, other in alike if np.array_equal(other[: len(array)], array))
            offset = next(longer, self.size)
            if offset == self.size:
                alike.append((offset, array))
                self.arrays.append(array)
                self._digest.update(key)
                self.size = round_up(self.size + array.nbytes)
            self._known[key] = offset
        return self._known[key]

    def digest(self) -> bytes:
        """Of all arrays so far: SHA-256 of each one's own and its shape."""
        return self._digest.digest()

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            file.write((MAGIC + self.digest()).ljust(HEADER_BYTES, b"\0"))
            for array in self.arrays:
                file.write(array.data)
                file.write(bytes(-array.nbytes % ALIGNMENT))


def make_plan(graphs: Sequence[Graph], kernels: Mapping[Value, tuple[Kernel, ...]], levels: tuple[Isa, ...]) -> Plan:
    """The plan of a program and of its shorter sequence lengths.

    Args:
        graphs: the same program for each sequence length, the longest first: the others find their weights stored.
        kernels: of all their blocks, for each of `levels`; those of a block read the same tensors.
    """
    weights = Weights()
    programs = [_program(graph, kernels, weights, levels[0]) for graph in graphs]
    words, types = _vocabulary(graphs[0])
    return Plan(
        levels=levels,
        outputs=int(np.prod(graphs[0].output.shape)),
        words=words,
        types=types,
        scratch_bytes=max(kernel.scratch_bytes for each in kernels.values() for kernel in each),
        programs=tuple(sorted(programs, key=lambda program: program.seq_len)),
        weights=weights,
    )


def _program(graph: Graph, kernels: Mapping[Value, tuple[Kernel, ...]], weights: Weights, isa: Isa) -> Program:
    """Blocks in order, activations in one arena where tensors that are never alive together share memory."""
    blocks = [value for value in graph.values() if value in kernels]
    seq_len = graph.inputs[0].shape[-1]
    tensors: list[Tensor] = []
    index_of: dict[Value, int] = {}
    first = {block: kernels[block][0] for block in blocks}
    offsets, arena_bytes = _arena(graph, blocks, first)

    def place(value: Value, shape: tuple[int, ...], dtype: str) -> int:
        if value not in index_of:
            index_of[value] = len(tensors)
            tensors.append(Tensor(False, offsets[value], shape, dtype))
        return index_of[value]

    ids = tuple(place(value, (rows_of(seq_len),), "int32") for value in graph.inputs)
    calls = []
    for block, worth in zip(blocks, shared([first[block] for block in blocks], isa), strict=True):
        kernel = first[block]
        parameters = kernel.spec.parameters(kernel.tile)
        arguments = []
        for operand, (_, shape, dtype) in zip(kernel.spec.operands(block, kernel.tile), parameters[:-1], strict=True):
            if isinstance(operand, Value):
                arguments.append(place(operand, shape, dtype))
            else:
                tensors.append(Tensor(True, weights.add(operand.astype(dtype, copy=False).reshape(shape)), shape, dtype))
                arguments.append(len(tensors) - 1)
        _, shape, dtype = parameters[-1]
        arguments.append(place(block, shape, dtype))
        if len(arguments) > MAX_ARGUMENTS:
            raise CompileError(f"a {kernel.spec.kind} block has {len(arguments)} tensors; the runtime takes {MAX_ARGUMENTS}")
        calls.append(Call(kernels[block], tuple(arguments), worth))
    return Program(
        seq_len=seq_len,
        tensors=tuple(tensors),
        calls=tuple(calls),
        ids=(ids[0], ids[1], ids[2]),
        output=index_of[graph.output],
        arena_bytes=arena_bytes,
    )


def _arena(graph: Graph, blocks: Sequence[Value], kernels: Mapping[Value, Kernel]) -> tuple[dict[Value, int], int]:
    """Offsets in bytes, largest tensors placed first at the lowest place free for their whole life; and the arena's size."""
    born: dict[Value, int] = dict.fromkeys(graph.inputs, -1)
    dies: dict[Value, int] = dict.fromkeys(graph.inputs, len(blocks))
    sizes = {value: 4 * rows_of(value.shape[-1]) for value in graph.inputs}
    for step, block in enumerate(blocks):
        born[block] = dies[block] = step
        _, shape, dtype = kernels[block].spec.parameters(kernels[block].tile)[-1]
        sizes[block] = int(np.prod(shape)) * np.dtype(dtype).itemsize
        for operand in block.inputs:
            if operand in dies:
                dies[operand] = max(dies[operand], step)
    dies[graph.output] = len(blocks)
    offsets: dict[Value, int] = {}
    for value in sorted(born, key=lambda item: -sizes[item]):
        offset = 0
        for other in sorted(offsets, key=lambda item: offsets[item]):
            together = born[value] <= dies[other] and born[other] <= dies[value]
            if together and offsets[other] < offset + sizes[value] and offset < offsets[other] + sizes[other]:
                offset = round_up(offsets[other] + sizes[other])
        offsets[value] = offset
    return offsets, max(round_up(offsets[value] + sizes[value]) for value in offsets)


def _vocabulary(graph: Graph) -> tuple[int, int]:
    """How many word ids and segments there are rows for."""
    rows = {"input_ids": 2**31 - 1, "token_type_ids": 2}
    for value in graph.values():
        if value.operator in ("embedding", "gather"):
            rows |= {ids.name: table.shape[0] for table, ids in pairwise(value.inputs) if ids.name in rows}
    return rows["input_ids"], rows["token_type_ids"]


def round_up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
