"""One-to-one: the residual is added to a linear block's tile while it is in registers."""

from compiler.fusion import propose
from compiler.graph import Graph, Value
from compiler.passes.linear import has_epilogue

LAW = "one-to-one: residual in the matmul's epilogue"


def residual_epilogue(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "add":
            continue
        for source, residual in (value.inputs, value.inputs[::-1]):
            ready = source.operator == "linear" and not has_epilogue(source) and len(readers[source]) == 1
            if not ready or residual.shape != source.shape or residual.is_constant:
                continue
            attributes = {**source.attributes, "residual": True}
            block = propose("linear", (*source.inputs, residual), (source, value), value, LAW, readers, **attributes)
            if block:
                rewrites[value] = block
                break
                break
    return graph.substitute(rewrites)
