"""No fusion: a matmul with constant weights is a `linear` block without a bias, which is added by a kernel of its own."""

import numpy as np

from compiler.graph import Graph, Value, constant, fuse


def separate_matmul(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "matmul" and value.inputs[1].is_constant and len(value.inputs[1].shape) == 2:
            no_bias = constant(np.zeros(value.shape[-1], np.float32))
            rewrites[value] = fuse("linear", (*value.inputs, no_bias), (value,), value)
    return graph.substitute(rewrites)
