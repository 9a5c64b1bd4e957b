"""Commutative law: a mask is cast and shifted before it is spread over hidden columns, so that it stays one number a token."""

from dataclasses import replace

from compiler.graph import Graph, Value

ELEMENTWISE = {"astype", "subtract", "multiply", "add", "where", "equal", "not_equal", "logical_not"}


def late_broadcasts(graph: Graph) -> Graph:
    """To a fixed point. Where something else of the full shape takes part, the broadcast stays."""
    while True:
        rewrites = {value: later for value in graph.values() if (later := _later(value)) is not None}
        if not rewrites:
            return graph
        graph = graph.substitute(rewrites)


def _later(value: Value) -> Value | None:
    spread = [operand for operand in value.inputs if not operand.is_constant]
    if value.operator not in ELEMENTWISE or len(spread) != 1 or spread[0].operator != "broadcast_to":
        return None
    small = spread[0].inputs[0]
    numbers = (operand.data.size == 1 for operand in value.inputs if operand.data is not None)
    if spread[0].shape != value.shape or len(small.shape) != len(value.shape) or small.is_constant or not all(numbers):
        return None
    operands = tuple(small if operand is spread[0] else operand for operand in value.inputs)
    return replace(spread[0], inputs=(replace(value, inputs=operands, shape=small.shape),), dtype=value.dtype)
