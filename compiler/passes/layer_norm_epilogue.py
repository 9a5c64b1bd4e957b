"""Many-to-many: LayerNorm of a linear block's rows, done by the task that computed them, while they are in cache."""

from compiler.graph import Graph, Value, fuse

LAW = "many-to-many: LayerNorm by row blocks in the matmul's epilogue"


def layer_norm_epilogue(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "nn.layer_norm" or value["axes"] not in ((-1,), (len(value.shape) - 1,)):
            continue
        source, scale, shift = value.inputs
        ready = source.operator == "linear" and "activation" not in source.attributes and "epsilon" not in source.attributes
        if ready and len(readers[source]) == 1 and scale.is_constant and shift.is_constant:
            attributes = {**source.attributes, "epsilon": value["epsilon"]}
            rewrites[value] = fuse("linear", (*source.inputs, scale, shift), (source, value), value, LAW, **attributes)
    return graph.substitute(rewrites)
