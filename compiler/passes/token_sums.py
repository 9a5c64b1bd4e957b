"""Many-to-many: a sum of tokens weighted by a table (mean pooling) is one `token_sum`, however the program wrote it.

Written as a batched matmul of weights (1, 1, S) and hidden states (1, S, H), or as a product with weights (1, S, 1) summed over
tokens. One token picked by its position (BERT's first) is a `token`.
"""

from math import prod

from compiler.graph import Graph, Value, fuse

LAW = "many-to-many: weighted sum over tokens"


def token_sums(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        found = _weighted_matmul(value) or _weighted_product(value) or _picked(value) or _cut_out(value) or _counted(value)
        if found:
            rewrites[value] = found
    return graph.substitute(rewrites)


def _weighted_matmul(value: Value) -> Value | None:
    if value.operator != "matmul" or prod(value.shape[:-1]) != 1:
        return None
    weights, hidden = _source(value.inputs[0]), value.inputs[1]
    if weights.operator != "token_table" or hidden.is_constant:
        return None
    return fuse("token_sum", (hidden, weights), (value,), value, LAW)


def _weighted_product(value: Value) -> Value | None:
    product = value.inputs[0] if value.operator == "sum" and value.inputs else None
    if product is None or product.operator != "multiply" or len(product.shape) != 3 or value.attributes["axis"] != (1,):
        return None
    for hidden, factor in (product.inputs, product.inputs[::-1]):
        weights = factor.inputs[0] if factor.operator == "broadcast_to" else factor
        table = _source(weights)
        if table.operator == "token_table" and prod(table.shape) == product.shape[1] and hidden.shape == product.shape:
            return fuse("token_sum", (hidden, table), (product, value), value, LAW)
    return None


def _picked(value: Value) -> Value | None:
    if value.operator != "take" or value["axis"] != 1 or not value.inputs[1].is_constant:
        return None
    hidden, index = value.inputs
    if len(hidden.shape) != 3 or hidden.shape[0] != 1 or hidden.shape[1] == 1 or index.shape not in ((), (1,)):
        return None
    assert index.data is not None
    return fuse("token", (hidden,), (value,), value, LAW, index=int(index.data.item()) % hidden.shape[1])


def _cut_out(value: Value) -> Value | None:
    """A slice of one token, its axis dropped: TensorFlow's way to pick it."""
    cut = value.inputs[0] if value.operator == "reshape" else None
    if cut is None or cut.operator != "strided_slice" or cut["arguments"][0] != (1,):
        return None
    hidden, first, last = cut.inputs[0], cut["arguments"][1][0], cut["arguments"][2][0]
    if len(hidden.shape) != 3 or hidden.shape[0] != 1 or last - first != 1 or value.shape != (1, hidden.shape[2]):
        return None
    return fuse("token", (hidden,), (cut, value), value, LAW, index=first)


def _counted(value: Value) -> Value | None:
    """The tokens' weights spread over all columns and then summed: one sum is enough."""
    spread = value.inputs[0] if value.operator == "sum" and value.inputs else None
    if spread is None or spread.operator != "broadcast_to" or value.attributes["axis"] != (1,):
        return None
    table = _source(spread.inputs[0])
    if (
        table.operator != "token_table"
        or prod(table.shape) != spread.shape[1]
        or prod(spread.inputs[0].shape) != spread.shape[1]
    ):
        return None
    total = Value("sum", (table,), (1,) * len(value.shape), attributes={"axis": None})
    return fuse("broadcast_to", (total,), (spread, value), value, LAW)


def _source(value: Value) -> Value:
    while value.operator == "reshape":
        value = value.inputs[0]
    return value
