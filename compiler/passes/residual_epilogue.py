"""One-to-one: the residual is added to a linear block's tile while it is in registers."""

from compiler.graph import Graph, Value, fuse
from compiler.passes.linear import has_epilogue

LAW = "one-to-one: residual in the matmul's epilogue"


def residual_epilogue(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "add":
            continue
        for block, residual in (value.inputs, value.inputs[::-1]):
            ready = block.operator == "linear" and not has_epilogue(block) and len(readers[block]) == 1
            if ready and residual.shape == block.shape and not residual.is_constant:
                attributes = {**block.attributes, "residual": True}
                rewrites[value] = fuse("linear", (*block.inputs, residual), (block, value), value, LAW, **attributes)
                break
    return graph.substitute(rewrites)
