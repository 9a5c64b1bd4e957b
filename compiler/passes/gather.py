"""Rows of a constant table picked by token ids, wherever no embedding block took them in, are a `gather` block."""

from compiler.graph import INPUT, Graph, Value, fuse


def gather(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "take" or value.attributes.get("axis") not in (0, None) or not value.inputs[0].is_constant:
            continue
        table, ids = value.inputs
        views = []
        while ids.operator == "reshape":
            views.append(ids)
            ids = ids.inputs[0]
        if ids.operator == INPUT and len(table.shape) == 2:
            rewrites[value] = fuse("gather", (table, ids), (*views[::-1], value), value)
    return graph.substitute(rewrites)
