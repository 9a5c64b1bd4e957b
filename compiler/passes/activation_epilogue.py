"""One-to-one: GELU or ReLU is applied to a linear block's tile while it is in registers."""

from compiler.evaluate import ACTIVATIONS
from compiler.fusion import propose
from compiler.graph import Graph, Value
from compiler.passes.linear import has_epilogue

LAW = "one-to-one: activation in the matmul's epilogue"


def activation_epilogue(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        activation = value.operator.removeprefix("nn.")
        if activation not in ACTIVATIONS:
            continue
        source = value.inputs[0]
        if source.operator == "linear" and not has_epilogue(source) and len(readers[source]) == 1:
            attributes = {**source.attributes, "activation": activation}
            block = propose("linear", source.inputs, (source, value), value, LAW, readers, **attributes)
            if block:
                rewrites[value] = block
    return graph.substitute(rewrites)
