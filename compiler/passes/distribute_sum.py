"""Distributive law: x c + x d = x (c + d), for matmuls and for products with constants; and with matmuls, c W + d W = (c + d) W.

The constants are added at compile time, or two activations are before the one matmul that is left: half of the work is gone.
"""

from compiler.evaluate import apply
from compiler.fusion import propose
from compiler.graph import Graph, Value, constant

LAW = "distributive: x c + x d = x (c + d)"
PRODUCTS = ("multiply", "matmul")


def distribute_sum(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "add" or any(operand in rewrites for operand in value.inputs):
            continue
        first, second = value.inputs
        same = first.operator == second.operator and first.operator in PRODUCTS and first.shape == second.shape == value.shape
        if not same or first is second or any(len(readers[product]) > 1 for product in (first, second)):
            continue
        inputs = _shared_left(first, second) or _shared_right(first, second)
        block = propose(first.operator, inputs, (first, second, value), value, LAW, readers) if inputs else None
        if block:
            rewrites[value] = block
    return graph.substitute(rewrites)


def _shared_left(first: Value, second: Value) -> tuple[Value, Value] | None:
    (x, c), (other, d) = (_constant_last(product) for product in (first, second))
    if x is not other or not (c.is_constant and d.is_constant) or c.shape != d.shape:
        return None
    total = Value("add", (c, d), c.shape, c.dtype)
    assert c.data is not None
    assert d.data is not None
    return x, constant(apply(total, [c.data, d.data]))


def _shared_right(first: Value, second: Value) -> tuple[Value, Value] | None:
    """Two activations on the same weights; a product of tensors elsewhere would trade a multiplication for nothing."""
    (c, weight), (d, other) = first.inputs, second.inputs
    if first.operator != "matmul" or weight is not other or c.shape != d.shape or c.is_constant or d.is_constant:
        return None
    return Value("add", (c, d), c.shape, c.dtype), weight


def _constant_last(product: Value) -> tuple[Value, Value]:
    left, right = product.inputs
    return (right, left) if product.operator == "multiply" and left.is_constant else (left, right)
