"""Associative law: (x W + positions) + segments = x W + (positions + segments): the rows are gathered by a block of their own,
which joins the matmul as its residual (MobileBERT, whose embeddings are projected before positions are added).
"""

from compiler.graph import Graph, Value, fuse
from compiler.passes.embedding import summed

LAW = "associative: gathered rows summed apart"


def embedding_sum(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    inner: set[Value] = set()
    for value in reversed(graph.values()):
        if value.operator != "add" or value in inner:
            continue
        found = summed(value, value.shape)
        if found.gathers and len(found.others) == 1 and found.others[0].shape == value.shape:
            inner.update(found.members)
            found.members.remove(value)
            inputs, attributes = found.block(value.shape)
            rows = fuse("embedding", inputs, found.members[::-1], value, LAW, **attributes)
            rewrites[value] = fuse("add", (found.others[0], rows), (value,), value)
    return graph.substitute(rewrites)
