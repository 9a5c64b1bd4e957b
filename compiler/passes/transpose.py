"""Reorganize: reshapes are views. A transpose reads and writes through those around it, and is a `transpose` block.

So attention's heads are split and joined by one copy each. A reshape that only drops or adds axes of size one in
front is left out before any operator.
"""

from compiler.graph import Graph, Value, fuse

LAW = "reorganize: reshape as a view of the transpose"


def transpose(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "permute_dims" and value not in rewrites:
            rewrites |= _transposed(value, readers)
    for value in graph.values():
        if value.operator == "reshape" and value not in rewrites and value is not graph.output and _same_rows(value):
            rewrites[value] = value.inputs[0]
    return graph.substitute(rewrites)


def _transposed(value: Value, readers: dict[Value, list[Value]]) -> dict[Value, Value]:
    source = value.inputs[0]
    before = [source] if source.operator == "reshape" and not source.is_constant else []
    view = source.shape
    axes = value["axes"] or tuple(range(len(view)))[::-1]
    after = readers.get(value, [])
    joined = after[:1] if len(after) == 1 and after[0].operator == "reshape" else []
    result = (joined or [value])[0]
    law = LAW if before or joined else ""
    inputs = before[0].inputs if before else (source,)
    return {result: fuse("transpose", inputs, (*before, value, *joined), result, law, view=view, axes=axes)}


def _same_rows(reshape: Value) -> bool:
    """Whether a reshape only drops or adds axes of size one in front."""
    return _stripped(reshape.shape) == _stripped(reshape.inputs[0].shape)


def _stripped(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape
