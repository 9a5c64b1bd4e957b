"""The kernels of each block kind, by its spec and by the tile that its weights are packed for."""

from collections.abc import Callable
from math import prod
from typing import Any

from compiler.opencl.launch import GROUP_COLUMNS, GROUP_ROWS, Launch, every, in_order, template, tiled
from compiler.opencl.readout import readout
from compiler.opencl.scalar import BINARY, UNARY, literal, select
from compiler.schedules import Spec
from compiler.schedules.attention import Attention
from compiler.schedules.batch_matmul import BatchMatmul
from compiler.schedules.elementwise import COLUMN, FULL, NUMBER, Elementwise
from compiler.schedules.embedding import Embedding
from compiler.schedules.emit import LOWEST
from compiler.schedules.gather import Gather
from compiler.schedules.layout import Shape
from compiler.schedules.linear import Linear
from compiler.schedules.rowwise import LAYER_NORM, MEAN, SOFTMAX, Rowwise
from compiler.schedules.transpose import APART, Transpose
from data.errors import CompileError

QUERIES = 4  # of a work-group: each key and value that is loaded is used so often
HALF_PRODUCTS = 16  # summed in half before they are added in float


def launches(spec: Spec, tile: Any, longest: int) -> list[Launch]:
    """What runs in place of a kernel, in order.

    Args:
        longest: the longest sequence length of the model.

    Raises:
        CompileError: there is no such kernel for GPUs.
    """
    write = KINDS.get(spec.kind)
    if write is None:
        raise CompileError(f"a {spec.kind} block has no kernel for GPUs; compile for them in fp32")
    return write(spec, tile, longest)


def _linear(spec: Linear, tile: Any, longest: int) -> list[Launch]:
    tensors = in_order(spec.parameters(tile))
    norm = tensors[-3:-1] if spec.epsilon is not None else ()
    groups, macros = tiled(spec.rows, spec.panels(tile) * tile.panel // 4)
    macros |= {"HALF_PRODUCTS": HALF_PRODUCTS, "ACTIVATION": spec.activation or None}
    source = template("linear", {**macros, "RESIDUAL": spec.residual, "SCALED": spec.scaled})
    operands = tuple(each for each in tensors if each not in norm)
    sizes = (spec.rows, spec.depth, spec.width, tile.panel, spec.groups, spec.blocks)
    product = Launch("linear", source, operands, sizes, groups, (GROUP_COLUMNS, GROUP_ROWS))
    if spec.epsilon is None:
        return [product]
    source = template("layer_norm", {"EPSILON": literal(spec.epsilon)})
    return [product, Launch("layer_norm", source, (*norm, tensors[-1]), (spec.width,), (spec.rows, 1))]


def _attention(spec: Attention, tile: Any, longest: int) -> list[Launch]:
    macros: dict[str, object] = {"QUERIES": QUERIES, "MOST_KEYS": longest, "HEAD_SIZE": spec.head_size}
    if spec.mask:
        rows = [select([max(entry, LOWEST) for entry in entries], "(type)") for entries in spec.mask]
        macros["MASK(bit, type)"] = f"((bit) == 0 ? {rows[0]} : {rows[1]})"
    source = template("attention", macros)
    groups = spec.rows // QUERIES, spec.heads
    return [Launch("attention", source, in_order(spec.parameters(tile)), (spec.seq_len, spec.heads), groups)]


def _embedding(spec: Embedding, tile: Any, longest: int) -> list[Launch]:
    normed = spec.epsilon is not None
    macros = {
        "WORDS": bool(spec.words),
        "POSITIONS": spec.positions,
        "TYPES": bool(spec.types),
        "AFFINE": normed and spec.affine,
        "PARTS": 3 if spec.neighbours else 1,
        "EPSILON": literal(spec.epsilon) if spec.epsilon is not None else None,
    }
    tensors = in_order(spec.parameters(tile))
    return [Launch("embedding", template("embedding", macros), tensors, (spec.width, spec.seq_len), (spec.rows, 1))]


def _readout(spec: Any, tile: Any, longest: int) -> list[Launch]:
    return [Launch("readout", readout(spec, tile), in_order(spec.parameters(tile)), (), (1, 1))]


def _elementwise(spec: Elementwise, tile: Any, longest: int) -> list[Launch]:
    tensors = in_order(spec.parameters(tile))
    numbers, names, terms = iter(spec.numbers), iter(f"x{index}" for index in tensors), []
    for kind in spec.kinds:
        if kind == NUMBER:
            terms.append(literal(next(numbers)))
        else:
            name = next(names)
            index = "at" if kind == FULL else "at % width" if kind == COLUMN else "at / width"
            terms.append(f"LOAD({name}, {name}_at + {index})")
    formula = (UNARY if len(terms) == 1 else BINARY)[spec.operator].format(*terms)
    operands = "".join(f"TENSOR(x{index}), " for index in tensors[:-1])
    source = f"""/* {spec.operator} of elements, alone. */
IN_GROUPS(ITEMS, 1)
__kernel void KERNEL({operands}RESULT(y), const uint count, const uint width) {{
    const uint at = get_global_id(0);
    if (at < count) STORE({formula}, y, y_at + at);
}}
"""
    return [Launch("elementwise", source, tensors, (prod(spec.shape), spec.shape[-1]), every(prod(spec.shape)))]


def _rowwise(spec: Rowwise, tile: Any, longest: int) -> list[Launch]:
    norm = spec.operator == LAYER_NORM
    macros = {
        "MEAN": spec.operator == MEAN,
        "SOFTMAX": spec.operator == SOFTMAX,
        "AFFINE": spec.affine,
        "EPSILON": literal(spec.epsilon) if norm else None,
    }
    groups = prod(spec.shape[:-1]), 1
    return [Launch("rowwise", template("rowwise", macros), in_order(spec.parameters(tile)), (spec.shape[-1],), groups)]


def _batch_matmul(spec: BatchMatmul, tile: Any, longest: int) -> list[Launch]:
    rows, width = spec.left[-2], spec.right[-1]
    groups, macros = tiled(rows, -(-width // 4), spec.groups)
    sizes = rows, spec.depth, spec.left[-1], width, spec.right[-2], spec.groups
    tensors = in_order(spec.parameters(tile))
    return [Launch("batch_matmul", template("batch_matmul", macros), tensors, sizes, groups, (GROUP_COLUMNS, GROUP_ROWS))]


def _transpose(spec: Transpose, tile: Any, longest: int) -> list[Launch]:
    sizes = tuple(spec.view[axis] for axis in spec.axes)
    source = strides(spec.view, spec.source, spec.joins[0])
    distances = [*(source[axis] for axis in spec.axes), *strides(sizes, spec.result, spec.joins[1])]
    missing = 3 - len(sizes)  # a view of two axes is one of three, the first of size one
    numbers = [*(1,) * missing, *sizes, *(0,) * missing, *distances[: len(sizes)], *(0,) * missing, *distances[len(sizes) :]]
    tensors = in_order(spec.parameters(tile))
    return [Launch("transpose", template("transpose", {}), tensors, tuple(numbers), every(prod(sizes)))]


def _gather(spec: Gather, tile: Any, longest: int) -> list[Launch]:
    tensors = in_order(spec.parameters(tile))
    return [Launch("gather", template("gather", {}), tensors, (spec.rows, spec.width), every(spec.rows * spec.width))]


def strides(view: Shape, memory: Shape, join: int) -> list[int]:
    """How far apart an axis's elements lie, for each axis of a view of a tensor, two of whose axes may be one in memory."""
    apart = [prod(memory[axis + 1 :]) for axis in range(len(memory))]
    if join != APART:
        apart.insert(join, apart[join] * view[join + 1])
    return apart


KINDS: dict[str, Callable[[Any, Any, int], list[Launch]]] = {
    "linear": _linear,
    "attention": _attention,
    "embedding": _embedding,
    "readout": _readout,
    "elementwise": _elementwise,
    "rowwise": _rowwise,
    "batch_matmul": _batch_matmul,
    "transpose": _transpose,
    "gather": _gather,
}
