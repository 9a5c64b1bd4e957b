"""One-to-one: rows chosen by multiplying with a one-hot encoding (TensorFlow's segments) are gathered instead."""

from compiler.graph import Graph, Value, fuse

LAW = "shuffle: one-hot product is a gather"


def one_hot(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "matmul" and value.inputs[0].operator == "one_hot" and value.inputs[1].is_constant:
            encoding, table = value.inputs
            rewrites[value] = fuse("take", (table, encoding.inputs[0]), (encoding, value), value, LAW, axis=0)
    return graph.substitute(rewrites)
