"""Commutative law: transposes and reshapes that undo each other, or change nothing, are cancelled; so are casts of indices."""

from dataclasses import replace

from compiler.graph import INPUT, Graph, Value, fuse

RESHAPES = {"reshape", "expand_dims", "squeeze", "flatten"}
LAW = "commutative: reshape and transpose cancelled"


def cancel_reshapes(graph: Graph) -> Graph:
    """To a fixed point, as one cancelled pair may bring the next together."""
    while True:
        readers = graph.users()
        rewrites = dict(found for value in graph.values() if (found := _cancel(value, readers)))
        if not rewrites:
            return graph
        graph = graph.substitute(rewrites)


def _cancel(value: Value, readers: dict[Value, list[Value]]) -> tuple[Value, Value] | None:
    if not value.inputs or value.inputs[0].is_constant:
        return None
    source = value.inputs[0]
    if value.operator == "astype" and value.dtype.startswith("int") and source.dtype.startswith("int"):
        return value, source
    if value.operator in (*RESHAPES, "broadcast_to", "permute_dims") and value.shape == source.shape and _keeps_order(value):
        return value, _credited(source, value) if len(readers[source]) == 1 and source.operator != INPUT else source
    if value.operator in RESHAPES and source.operator in RESHAPES:
        return value, fuse("reshape", source.inputs, (source, value), value, LAW)
    if value.operator in RESHAPES - {"reshape"}:
        return value, fuse("reshape", value.inputs, (value,), value)
    if value.operator == "permute_dims" and source.operator == "permute_dims" and value["axes"] and source["axes"]:
        axes = tuple(source["axes"][axis] for axis in value["axes"])
        return value, fuse("permute_dims", source.inputs, (source, value), value, LAW, axes=axes)
    return None


def _credited(source: Value, cancelled: Value) -> Value:
    """The source, with the operators that it makes needless on its record."""
    laws = tuple(dict.fromkeys((*source.laws, *cancelled.laws, LAW)))
    return replace(source, members=(*source.members, *cancelled.members), laws=laws)


def _keeps_order(value: Value) -> bool:
    """Whether a transpose moves nothing but axes of size one."""
    if value.operator != "permute_dims":
        return True
    moved = [axis for axis in value["axes"] or range(len(value.shape))[::-1] if value.shape[axis] != 1]
    return moved == sorted(moved)
