"""Many-to-many: LayerNorm of a linear block's rows, done by the task that computed them, while they are in cache."""

from compiler.fusion import propose
from compiler.graph import Graph, Value

LAW = "many-to-many: LayerNorm by row blocks in the matmul's epilogue"


def layer_norm_epilogue(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        affine = len(value.inputs) == 3
        if value.operator != "nn.layer_norm" or not affine or value["axes"] not in ((-1,), (len(value.shape) - 1,)):
            continue
        source, scale, shift = value.inputs
        ready = source.operator == "linear" and "activation" not in source.attributes and "epsilon" not in source.attributes
        if ready and len(readers[source]) == 1 and scale.is_constant and shift.is_constant:
            attributes = {**source.attributes, "epsilon": value["epsilon"]}
            inputs = (*source.inputs, scale, shift)
            block = propose("linear", inputs, (source, value), value, LAW, readers, same_rows=True, **attributes)
            if block:
                rewrites[value] = block
    return graph.substitute(rewrites)
