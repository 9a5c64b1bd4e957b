"""One-to-one: the residual is added to a linear block's tile while it is in registers."""

from compiler.fusion import propose
from compiler.graph import Graph, Value

LAW = "one-to-one: residual in the matmul's epilogue"


def residual_epilogue(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "add":
            continue
        for source, residual in (value.inputs, value.inputs[::-1]):
            ready = source.operator == "linear" and not source.attributes and len(readers[source]) == 1
            if not ready or residual.shape != source.shape or residual.is_constant:
                continue
            block = propose("linear", (*source.inputs, residual), (source, value), value, LAW, readers, residual=True)
            if block:
                rewrites[value] = block
                break
    return graph.substitute(rewrites)
