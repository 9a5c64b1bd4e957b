"""Associative law: a scale and a shift of every column (NoNorm, MobileBERT section 3.3; a bias) go into the matmul before them.

s (x W + b) + t = x (W s) + (b s + t). Where a residual was added first, it is scaled in the epilogue: s (x W + b + r) + t =
x (W s) + (b s + t) + r s.
"""

import numpy as np

from compiler.graph import Graph, Value, constant, fuse

LAW = "associative: scale and shift folded into the weights"
FOLLOWED = {"activation", "epsilon"}  # epilogues that a scale cannot be moved before


def affine(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator not in ("add", "multiply"):
            continue
        for source, vector in (value.inputs, value.inputs[::-1]):
            block = rewrites.get(source, source)
            ready = block.operator == "linear" and not FOLLOWED & block.attributes.keys() and len(readers[source]) == 1
            if ready and _is_vector(vector, value) and source.shape == value.shape:
                rewrites[value] = _folded(block, value, np.broadcast_to(_numbers(vector).reshape(-1), value.shape[-1:]))
                break
    return graph.substitute(rewrites)


def _is_vector(vector: Value, value: Value) -> bool:
    """A number, or one for each column."""
    return vector.data is not None and (vector.data.size == 1 or vector.data.size == vector.shape[-1] == value.shape[-1])


def _folded(block: Value, value: Value, vector: np.ndarray) -> Value:
    source, weight, bias, *residual = block.inputs
    attributes = dict(block.attributes)
    if value.operator == "add":
        operands = [source, weight, constant(_numbers(bias) + vector), *residual]
        return fuse("linear", operands, (block, value), value, LAW, **attributes)
    operands = [source, constant(_numbers(weight) * vector), constant(_numbers(bias) * vector)]
    if attributes.get("residual"):
        before = _numbers(residual[1]) if attributes.get("scaled") else np.float32(1)
        operands += [residual[0], constant(before * vector)]
        attributes["scaled"] = True
    return fuse("linear", operands, (block, value), value, LAW, **attributes)


def _numbers(value: Value) -> np.ndarray:
    assert value.data is not None
    return value.data
