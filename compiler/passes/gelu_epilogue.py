"""One-to-one: GELU is applied to a linear block's tile while it is in registers."""

from compiler.fusion import propose
from compiler.graph import Graph, Value

LAW = "one-to-one: GELU in the matmul's epilogue"


def gelu_epilogue(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "nn.gelu":
            continue
        source = value.inputs[0]
        if source.operator == "linear" and not source.attributes and len(readers[source]) == 1:
            block = propose("linear", source.inputs, (source, value), value, LAW, readers, activation="gelu")
            if block:
                rewrites[value] = block
    return graph.substitute(rewrites)
