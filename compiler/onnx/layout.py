"""ONNX operators that move numbers, or make them from shapes: one small function each (opset 13 to 21)."""

from collections.abc import Sequence
from math import prod

import numpy as np

from compiler.graph import Value, constant
from compiler.onnx.node import FLOAT, Converter, Made, Node


def _reshaped(node: Node, shape: Sequence[int]) -> Value:
    if prod(shape) != prod(node[0].shape):
        raise ValueError(f"cannot reshape {node[0].shape} to {tuple(shape)}")
    return node.emit("reshape", node[0], shape=shape, dtype=node[0].dtype)


def _reshape(node: Node) -> Value:
    source, asked = node[0].shape, node.numbers(1)
    copied = [source[axis] if size == 0 and not node.attribute("allowzero", 0) else size for axis, size in enumerate(asked)]
    rest = prod(size for size in copied if size != -1)
    return _reshaped(node, [prod(source) // max(rest, 1) if size == -1 else size for size in copied])


def _flatten(node: Node) -> Value:
    axis = int(node.attribute("axis", 1)) % (len(node[0].shape) + 1)
    return _reshaped(node, (prod(node[0].shape[:axis]), prod(node[0].shape[axis:])))


def _squeeze(node: Node) -> Value:
    axes = node.axes()
    kept = [size for axis, size in enumerate(node[0].shape) if (size != 1 if axes is None else axis not in axes)]
    return _reshaped(node, kept)


def _unsqueeze(node: Node) -> Value:
    written = node.attribute("axes") or node.numbers(1)
    rank = len(node[0].shape) + len(written)
    axes = {int(axis) % rank for axis in written}
    sizes = iter(node[0].shape)
    return _reshaped(node, [1 if axis in axes else next(sizes) for axis in range(rank)])


def _transpose(node: Node) -> Value:
    axes = tuple(int(axis) for axis in node.attribute("perm", range(len(node[0].shape))[::-1]))
    shape = [node[0].shape[axis] for axis in axes]
    return node.emit("permute_dims", node[0], shape=shape, dtype=node[0].dtype, axes=axes)


def _expand(node: Node) -> Value:
    shape = np.broadcast_shapes(node[0].shape, node.numbers(1))
    return node.emit("broadcast_to", node[0], shape=shape, dtype=node[0].dtype)


def _slice(node: Node) -> Value:
    starts, ends = node.numbers(1), node.numbers(2)
    rank = len(node[0].shape)
    axes = tuple(axis % rank for axis in (node.numbers(3) if node.has(3) else range(len(starts))))
    return _sliced(node, axes, starts, ends, node.numbers(4) if node.has(4) else (1,) * len(starts))


def _sliced(node: Node, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]) -> Value:
    shape = list(node[0].shape)
    first, last = [], []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise ValueError(f"a slice has step {step}")
        low, high, _ = slice(start, end).indices(shape[axis])
        shape[axis] = len(range(low, high, step))
        first.append(low)
        last.append(high)
    arguments = (tuple(axes), tuple(first), tuple(last), tuple(steps))
    return node.emit("strided_slice", node[0], shape=shape, dtype=node[0].dtype, arguments=arguments)


def _split(node: Node) -> Made:
    axis = node.axis(0)
    size = node[0].shape[axis]
    part = -(-size // int(node.attribute("num_outputs", node.outputs)))
    sizes = node.numbers(1) if node.has(1) else [min(part, size - start) for start in range(0, size, part)]
    ends = np.cumsum(sizes)
    return tuple(_sliced(node, (axis,), (int(end) - width,), (int(end),), (1,)) for end, width in zip(ends, sizes, strict=True))


def _concat(node: Node) -> Value:
    axis = node.axis(0)
    shape = list(node[0].shape)
    shape[axis] = sum(value.shape[axis] for value in node.operands)
    return node.emit("concat", *node.operands, shape=shape, dtype=node[0].dtype, axis=axis)


def _pad(node: Node) -> Value:
    if node.attribute("mode", "constant") != "constant":
        raise ValueError(f"padding mode '{node.attribute('mode')}' is not supported")
    rank = len(node[0].shape)
    axes = [axis % rank for axis in node.numbers(3)] if node.has(3) else list(range(rank))
    written = node.numbers(1)
    widths = [0] * (2 * rank)
    for index, axis in enumerate(axes):
        widths[2 * axis], widths[2 * axis + 1] = written[index], written[len(axes) + index]
    filler = float(node.known(2).reshape(-1)[0]) if node.has(2) else 0.0
    shape = [size + widths[2 * axis] + widths[2 * axis + 1] for axis, size in enumerate(node[0].shape)]
    return node.emit("nn.pad", node[0], shape=shape, dtype=node[0].dtype, pad_width=tuple(widths), pad_value=filler)


def _gather(node: Node) -> Value:
    axis = node.axis(0)
    table, indices = node[0], node[1]
    shape = (*table.shape[:axis], *indices.shape, *table.shape[axis + 1 :])
    return node.emit("take", table, indices, shape=shape, dtype=table.dtype, axis=axis)


def _gather_nd(node: Node) -> Value:
    indices = node.known(1)
    if node.attribute("batch_dims", 0):
        raise ValueError("batch_dims is not supported")
    parts = [constant(np.ascontiguousarray(indices[..., column])) for column in range(indices.shape[-1])]
    shape = (*indices.shape[:-1], *node[0].shape[len(parts) :])
    return node.emit("index_tensor", node[0], *parts, shape=shape, dtype=node[0].dtype)


def _one_hot(node: Node) -> Value:
    if list(node.known(2)) != [0, 1] or node.attribute("axis", -1) not in (-1, len(node[0].shape)):
        raise ValueError("a one-hot encoding of other values than 0 and 1, or not along the last axis")
    depth = int(node.known(1).reshape(-1)[0])
    return node.emit("one_hot", node[0], shape=(*node[0].shape, depth), dtype=node[2].dtype, depth=depth)


def _cast(node: Node) -> Value:
    import onnx

    kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.attribute("to")))
    return _as_type(node, FLOAT if kind.kind == "f" else str(kind))


def _cast_like(node: Node) -> Value:
    return _as_type(node, node[1].dtype)


def _as_type(node: Node, dtype: str) -> Value:
    return node[0] if dtype == node[0].dtype else node.emit("astype", node[0], shape=node[0].shape, dtype=dtype)


def _same(node: Node) -> Value:
    return node[0]


def _dropout(node: Node) -> Value:
    if node.has(2) and node.known(2).any():
        raise ValueError("dropout in training mode; export the model in evaluation mode")
    return node[0]


def _constant(node: Node) -> Value:
    import onnx

    for name in ("value_float", "value_floats"):
        if node.attribute(name) is not None:
            return constant(np.asarray(node.attribute(name), np.float32))
    for name in ("value_int", "value_ints"):
        if node.attribute(name) is not None:
            return constant(np.asarray(node.attribute(name), np.int64))
    tensor = node.attribute("value")
    if tensor is None:
        raise ValueError("a constant that is neither numbers nor a tensor")
    return constant(_single(onnx.numpy_helper.to_array(tensor)))


def _constant_of_shape(node: Node) -> Value:
    import onnx

    tensor = node.attribute("value")
    filler = np.zeros(1, np.float32) if tensor is None else onnx.numpy_helper.to_array(tensor)
    return constant(_single(np.full(node.numbers(0), filler.reshape(-1)[0])))


def _single(array: np.ndarray) -> np.ndarray:
    """Floating point of any width as float32."""
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _shape(node: Node) -> Value:
    return constant(np.asarray(node[0].shape[node.attribute("start", 0) : node.attribute("end")], np.int64))


def _size(node: Node) -> Value:
    return constant(np.asarray(prod(node[0].shape), np.int64))


def _range(node: Node) -> Value:
    start, limit, step = (node.known(index).reshape(-1)[0] for index in range(3))
    return constant(np.arange(start, limit, step).astype(node[0].dtype))


def _gather_elements(node: Node) -> Value:
    return constant(np.take_along_axis(node.known(0), node.known(1), node.axis(0)))


def _tile(node: Node) -> Value:
    return constant(np.tile(node.known(0), node.numbers(1)))


LAYOUT: dict[str, Converter] = {
    "Cast": _cast,
    "CastLike": _cast_like,
    "Identity": _same,
    "Dropout": _dropout,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Expand": _expand,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Pad": _pad,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "OneHot": _one_hot,
    # these are made at once, of what does not depend on the tokens
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "GatherElements": _gather_elements,
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
    "Tile": _tile,
}
