"""Commutative law: transposes move past element-wise operators and reshapes towards the output, until they meet and cancel.

SqueezeBERT works on (1, C, S) and comes back to (1, S, C) for each LayerNorm; exporters put transposes on either side of the
reshape that splits heads. Moved together, they are one transpose that changes nothing.
"""

from dataclasses import replace

import numpy as np

from compiler.graph import Graph, Value, constant, to_fixed_point
from compiler.passes.cancel_reshapes import RESHAPES
from compiler.passes.recognise_activation import ELEMENTWISE

UNARY = ELEMENTWISE | {"nn.gelu", "nn.gelu_tanh", "astype"}
LAW = "commutative: transpose moved to where it cancels"


def move_transposes(graph: Graph) -> Graph:
    """Every step moves a transpose nearer to the output."""
    return to_fixed_point(graph, _moved)


def _moved(value: Value) -> Value | None:
    if value.operator == "permute_dims" and value.inputs[0].operator in RESHAPES:
        return _before_join(value, value.inputs[0])
    transposes = [operand for operand in value.inputs if operand.operator == "permute_dims"]
    if not transposes or transposes[0].inputs[0].is_constant:
        return None
    if value.operator in UNARY:
        return _past_elements(value, transposes)
    if value.operator in RESHAPES:
        return _past_reshape(value, transposes[0])
    if value.operator == "permute_dims":
        axes = tuple(_axes(transposes[0])[axis] for axis in _axes(value))
        return _transposed(value, transposes[0].inputs[0], axes, transposes)
    return None


def _past_elements(value: Value, transposes: list[Value]) -> Value | None:
    axes, shape = _axes(transposes[0]), value.shape
    inverse = tuple(int(axis) for axis in np.argsort(axes))
    operands = []
    for operand in value.inputs:
        if operand.operator == "permute_dims" and operand.shape == shape and _axes(operand) == axes:
            operands.append(operand.inputs[0])
        elif operand.is_constant and operand.data is not None:
            padded = operand.data.reshape((1,) * (len(shape) - operand.data.ndim) + operand.data.shape)
            operands.append(operand if operand.data.size == 1 else constant(np.ascontiguousarray(padded.transpose(inverse))))
        else:
            return None
    before = replace(value, inputs=tuple(operands), shape=tuple(shape[axis] for axis in inverse))
    return _transposed(value, before, axes, transposes)


def _past_reshape(value: Value, transpose: Value) -> Value | None:
    """A reshape that splits or merges axes which lie side by side before the transpose as well."""
    source, axes = transpose.inputs[0], _axes(transpose)
    segments = _segments(transpose.shape, value.shape)
    if segments is None:
        return None
    order = [axis for axis, size in enumerate(source.shape) if size != 1]
    placed: list[tuple[int, list[int]]] = []  # where each segment starts before the transpose, and its axes after the reshape
    for before, after in segments:
        places = [order.index(axes[axis]) for axis in before]
        if places != list(range(places[0], places[0] + len(places))):
            return None
        placed.append((places[0], after))
    kept = [axis for _, after in sorted(placed) for axis in after]
    ones = [axis for axis, size in enumerate(value.shape) if size == 1]
    reshaped = replace(value, operator="reshape", inputs=(source,), shape=tuple(value.shape[axis] for axis in (*ones, *kept)))
    back = tuple((*ones, *kept).index(axis) for axis in range(len(value.shape)))
    return _transposed(value, reshaped, back, [transpose])


def _before_join(value: Value, join: Value) -> Value | None:
    """A transpose of axes that a reshape has joined, after a transpose: one transpose of the axes apart, which are joined then."""
    apart = join.inputs[0]
    if apart.operator != "permute_dims" or _past_reshape(join, apart) is not None:
        return None
    segments = _segments(apart.shape, join.shape)
    if segments is None or any(len(after) != 1 for _, after in segments):
        return None
    parts = {after[0]: before for before, after in segments}
    ones = ([axis for axis, size in enumerate(shape) if size == 1] for shape in (join.shape, apart.shape))
    for one, axis in zip(*ones, strict=False):
        parts[one] = [axis]
    axes = tuple(axis for joined in _axes(value) for axis in parts.get(joined, []))
    if len(axes) != len(apart.shape):
        return None
    both = tuple(_axes(apart)[axis] for axis in axes)
    turned = replace(apart, shape=tuple(apart.shape[axis] for axis in axes), attributes={"axes": both}, laws=(LAW,))
    turned = replace(turned, members=(*apart.members, *value.members))
    return replace(join, operator="reshape", inputs=(turned,), shape=value.shape)


def _segments(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[list[int], list[int]]] | None:
    """The smallest runs of axes, those of size one left out, that a reshape turns into each other."""
    left = [axis for axis, size in enumerate(before) if size != 1]
    right = [axis for axis, size in enumerate(after) if size != 1]
    segments = []
    while left and right:
        ours, theirs = [left.pop(0)], [right.pop(0)]
        ours_size, theirs_size = before[ours[0]], after[theirs[0]]
        while ours_size != theirs_size:
            shorter, sizes, axes = (left, before, ours) if ours_size < theirs_size else (right, after, theirs)
            if not shorter:
                return None
            axes.append(shorter.pop(0))
            if axes is ours:
                ours_size *= sizes[axes[-1]]
            else:
                theirs_size *= sizes[axes[-1]]
        segments.append((ours, theirs))
    return None if left or right else segments


def _transposed(value: Value, before: Value, axes: tuple[int, ...], moved: list[Value]) -> Value:
    """`before`, transposed to what `value` was. The transposes that moved, and those that met, stay on its record."""
    if axes == tuple(range(len(axes))):
        return before
    met = value.members if value.operator == "permute_dims" else ()
    members = (*moved[0].members, *met)
    return Value("permute_dims", (before,), value.shape, value.dtype, {"axes": axes}, members=members, laws=(LAW,))


def _axes(transpose: Value) -> tuple[int, ...]:
    rank = len(transpose.shape)
    return tuple(axis % rank for axis in transpose["axes"] or range(rank)[::-1])
