"""Commutative law: rows (S, H) without a batch axis, which TensorFlow's exporters work on, get it back: (1, S, H).

The reshape that dropped it moves towards the output, past matmuls, norms and element-wise operators, until another undoes it.
"""

from dataclasses import replace

import numpy as np

from compiler.graph import Graph, Value, constant
from compiler.passes.move_transposes import UNARY

ROWWISE = UNARY | {"nn.layer_norm"}


def batch_axis(graph: Graph) -> Graph:
    """To a fixed point."""
    while True:
        rewrites = {value: moved for value in graph.values() if (moved := _moved(value)) is not None}
        if not rewrites:
            return graph
        graph = graph.substitute(rewrites)


def _moved(value: Value) -> Value | None:
    if len(value.shape) != 2 or value.shape[0] == 1 or not any(_dropped(operand) for operand in value.inputs):
        return None
    shape = (1, *value.shape)
    if value.operator == "matmul" and _dropped(value.inputs[0]) and value.inputs[1].is_constant:
        before = replace(value, inputs=(value.inputs[0].inputs[0], value.inputs[1]), shape=shape)
    elif value.operator in ROWWISE and all(operand.is_constant or operand.shape == value.shape for operand in value.inputs):
        before = replace(value, inputs=tuple(_with_batch(operand, value.shape) for operand in value.inputs), shape=shape)
    else:
        return None
    return Value("reshape", (before,), value.shape, value.dtype)


def _dropped(operand: Value) -> bool:
    return operand.operator == "reshape" and operand.inputs[0].shape == (1, *operand.shape) and not operand.is_constant


def _with_batch(operand: Value, shape: tuple[int, ...]) -> Value:
    if _dropped(operand):
        return operand.inputs[0]
    if operand.data is None:
        return Value("reshape", (operand,), (1, *operand.shape), operand.dtype)
    return constant(np.ascontiguousarray(operand.data[None])) if operand.shape == shape else operand
