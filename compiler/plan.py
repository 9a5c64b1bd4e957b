"""The static plan of a model: where each tensor lies, which kernels run in which order, and the weights in their layouts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler.graph import Graph, Value
from compiler.isa import Isa
from compiler.kernels import Kernel, rows_of
from data.errors import CompileError

ALIGNMENT = 64
MAGIC = b"PFWGT01\0"
HEADER_BYTES = 64
MAX_ARGUMENTS = 24  # runtime/plan.h
MAX_AXES = 3


@dataclass(frozen=True)
class Tensor:
    """A place in the arena or in the weights file."""

    in_weights: bool
    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Call:
    kernel: Kernel
    tensors: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that runtime/plan.h declares."""

    seq_len: int
    outputs: int
    words: int
    types: int
    arena_bytes: int
    scratch_bytes: int
    tensors: tuple[Tensor, ...]
    calls: tuple[Call, ...]
    ids: tuple[int, int, int]
    output: int
    weights: "Weights"


class Weights:
    """Packed weights, equal ones once, each on a cache line of its own."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.size = HEADER_BYTES
        self._known: dict[bytes, int] = {}
        self._digest: bytes | None = None

    def add(self, array: np.ndarray) -> int:
        """Offset in bytes."""
        array = np.ascontiguousarray(array)
        key = hashlib.blake2b(array.data, digest_size=16).digest() + repr(array.shape).encode()
        if key not in self._known:
            self._known[key] = self.size
            self.arrays.append(array)
            self.size = round_up(self.size + array.nbytes)
        return self._known[key]

    def digest(self) -> bytes:
        """Of all arrays; once it is asked for, none may be added."""
        if self._digest is None:
            total = hashlib.sha256()
            for array in self.arrays:
                total.update(array.data)
            self._digest = total.digest()
        return self._digest

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            file.write((MAGIC + self.digest()).ljust(HEADER_BYTES, b"\0"))
            for array in self.arrays:
                file.write(array.data)
                file.write(bytes(-array.nbytes % ALIGNMENT))


def make_plan(graph: Graph, kernels: dict[Value, Kernel], isa: Isa) -> Plan:
    """Blocks in order, activations in one arena where tensors that are never alive together share memory."""
    blocks = [value for value in graph.values() if value in kernels]
    seq_len = graph.inputs[0].shape[-1]
    weights = Weights()
    tensors: list[Tensor] = []
    index_of: dict[Value, int] = {}
    offsets, arena_bytes = _arena(graph, blocks, kernels)

    def place(value: Value, shape: tuple[int, ...], dtype: str) -> int:
        if value not in index_of:
            index_of[value] = len(tensors)
            tensors.append(Tensor(False, offsets[value], shape, dtype))
        return index_of[value]

    ids = tuple(place(value, (rows_of(seq_len),), "int32") for value in graph.inputs)
    calls = []
    for block in blocks:
        kernel = kernels[block]
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
        calls.append(Call(kernel, tuple(arguments)))
    words, types = _vocabulary(graph)
    return Plan(
        seq_len=seq_len,
        outputs=graph.output.shape[-1],
        words=words,
        types=types,
        arena_bytes=arena_bytes,
        scratch_bytes=max(kernel.scratch_bytes for kernel in kernels.values()),
        tensors=tuple(tensors),
        calls=tuple(calls),
        ids=(ids[0], ids[1], ids[2]),
        output=index_of[graph.output],
        weights=weights,
    )


def _arena(graph: Graph, blocks: Sequence[Value], kernels: dict[Value, Kernel]) -> tuple[dict[Value, int], int]:
    """Offsets in bytes, largest tensors placed first at the lowest place free for their whole life; and the arena's size."""
    born: dict[Value, int] = dict.fromkeys(graph.inputs, -1)
    dies: dict[Value, int] = dict.fromkeys(graph.inputs, len(blocks))
    sizes = {value: 4 * rows_of(value.shape[-1]) for value in graph.inputs}
    for step, block in enumerate(blocks):
        born[block] = dies[block] = step
        _, shape, _ = kernels[block].spec.parameters(kernels[block].tile)[-1]
        sizes[block] = 4 * int(np.prod(shape))
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
    words, types = 2**31 - 1, 2
    for value in graph.values():
        if value.operator == "embedding":
            words = value.inputs[0].shape[0]
            if value["types"]:
                types = value.inputs[2 + value["positions"]].shape[0]
    return words, types


def plan_source(plan: Plan, isa: Isa) -> str:
    """The plan as C tables."""
    symbols = list(dict.fromkeys(call.kernel.symbol for call in plan.calls))
    tensors = ",\n".join(
        f"    {{{tensor.offset}u, {{{', '.join(map(str, tensor.shape))}}}, {'PF_IN_WEIGHTS' if tensor.in_weights else 'PF_IN_ARENA'}, "
        f"{len(tensor.shape)}, {'PF_TYPE_FLOAT' if tensor.dtype == 'float32' else 'PF_TYPE_INT'}}}"
        for tensor in plan.tensors
    )
    calls = ",\n".join(
        f'    {{__tvm_ffi_{call.kernel.symbol}, "{call.kernel.symbol}", {call.kernel.spec.tasks(call.kernel.tile)}, '
        f"{len(call.tensors)}, {{{', '.join(map(str, call.tensors))}}}}}"
        for call in plan.calls
    )
    needs = " | ".join(f"PF_CPU_{need}" for need in isa.needs) or "0"
    declared = "\n".join(f"int __tvm_ffi_{symbol}(void *, const pf_argument *, int32_t, pf_argument *);" for symbol in symbols)
    return f"""#include "cpu.h"
#include "plan.h"

{declared}

static const pf_place tensors[] = {{
{tensors}
}};

static const pf_call calls[] = {{
{calls}
}};

const pf_plan pf_the_plan = {{
    .seq_len = {plan.seq_len}, .outputs = {plan.outputs}, .rows = {rows_of(plan.seq_len)},
    .words = {plan.words}, .types = {plan.types}, .cpu_needs = {needs},
    .arena_bytes = {plan.arena_bytes}u, .weights_bytes = {plan.weights.size}u, .scratch_bytes = {plan.scratch_bytes}u,
    .tensor_count = {len(plan.tensors)}, .call_count = {len(plan.calls)}, .tensors = tensors, .calls = calls,
    .input_ids = {plan.ids[0]}, .token_type_ids = {plan.ids[1]}, .attention_mask = {plan.ids[2]}, .output = {plan.output},
    .digest = {{{", ".join(str(byte) for byte in plan.weights.digest())}}},
}};
"""


def round_up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
