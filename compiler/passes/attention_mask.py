"""One-to-one: the additive mask's table is looked up inside the attention block, which reads the mask bits themselves."""

from compiler.fusion import propose
from compiler.graph import Graph, Value

LAW = "one-to-one: mask looked up in the attention block"


def attention_mask(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "attention" or len(value.inputs) != 2 or value.inputs[1].operator != "token_table":
            continue
        packed, table = value.inputs
        # A layer that looks its mask up has a tensor less to read, whoever else still reads the table.
        alone = {**readers, table: [value]}
        attributes = {"heads": value["heads"], "mask": table["table"]}
        block = propose("attention", (packed, *table.inputs), (table, value), value, LAW, alone, **attributes)
        if block:
            rewrites[value] = block
    return graph.substitute(rewrites)
