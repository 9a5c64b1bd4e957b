"""One-to-one: a matmul with constant weights and the bias added to it become one `linear` block, x (rows, K) -> (rows, N)."""

import numpy as np

from compiler.fusion import propose
from compiler.graph import Graph, Value, constant, fuse

LAW = "one-to-one: bias in the matmul's epilogue"


def linear(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "matmul" or not value.inputs[1].is_constant or len(value.inputs[1].shape) != 2:
            continue
        source, weight = value.inputs
        no_bias = constant(np.zeros(weight.shape[1], np.float32))
        rewrites[value] = fuse("linear", (source, weight, no_bias), (value,), value)
        added = readers.get(value, [])
        bias = _bias(added[0], value) if len(added) == 1 else None
        block = propose("linear", (source, weight, bias), (value, added[0]), added[0], LAW, readers) if bias else None
        if block:
            rewrites[added[0]] = block
    return graph.substitute(rewrites)


def _bias(add: Value, matmul: Value) -> Value | None:
    if add.operator != "add":
        return None
    other = add.inputs[1] if add.inputs[0] is matmul else add.inputs[0]
    return other if other.is_constant and other.shape == matmul.shape[-1:] else None


def has_epilogue(block: Value) -> bool:
    """Whether something is already applied to a linear block's tiles."""
    return bool(block.attributes.keys() - {"groups", "repeats"})
