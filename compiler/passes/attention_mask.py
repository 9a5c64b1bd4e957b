"""One-to-one: the additive mask's table is looked up inside the attention block, which reads the mask bits themselves."""

from compiler.graph import Graph, Value, fuse

LAW = "one-to-one: mask looked up in the attention block"


def attention_mask(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "attention" and len(value.inputs) == 2 and value.inputs[1].operator == "token_table":
            packed, table = value.inputs
            rewrites[value] = fuse(
                "attention", (packed, *table.inputs), (value,), value, LAW, heads=value["heads"], mask=table["table"]
            )
    return graph.substitute(rewrites)
