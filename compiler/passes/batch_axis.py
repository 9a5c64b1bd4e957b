"""Commutative law: rows (S, H) without a batch axis, which TensorFlow's exporters work on, get it back: (1, S, H).

The reshape that dropped it moves towards the output, past matmuls, norms and element-wise operators, until another undoes it.
"""

from dataclasses import replace

import numpy as np

from compiler.graph import Graph, Value, constant, to_fixed_point
from compiler.passes.move_transposes import UNARY

ROWWISE = UNARY | {"nn.layer_norm"}


def batch_axis(graph: Graph) -> Graph:
    return to_fixed_point(graph, _moved)


def _moved(value: Value) -> Value | None:
    if len(value.shape) != 2 or value.shape[0] == 1 or not any(_dropped(operand) for operand in value.inputs):
        return None
    shape = (1, *value.shape)
    if value.operator == "matmul" and _dropped(value.inputs[0]) and value.inputs[1].is_constant:
        before = replace(value, inputs=(_with_batch(value.inputs[0], value.inputs[0].shape), value.inputs[1]), shape=shape)
    elif value.operator in ROWWISE and all(operand.is_constant or operand.shape == value.shape for operand in value.inputs):
        before = replace(value, inputs=tuple(_with_batch(operand, value.shape) for operand in value.inputs), shape=shape)
    else:
        return None
    return Value("reshape", (before,), value.shape, value.dtype)


def _dropped(operand: Value) -> bool:
    """Rows that were reshaped from something with a batch axis."""
    return operand.operator == "reshape" and len(operand.inputs[0].shape) > 2 and operand.inputs[0].shape[0] == 1


def _with_batch(operand: Value, shape: tuple[int, ...]) -> Value:
    if operand.data is not None:
        return constant(np.ascontiguousarray(operand.data[None])) if operand.shape == shape else operand
    source = operand.inputs[0] if _dropped(operand) else operand
    return source if source.shape == (1, *shape) else Value("reshape", (source,), (1, *shape), operand.dtype)
