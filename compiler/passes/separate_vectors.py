"""No fusion: after the last hidden states, every operator on vectors is a `readout` block of its own.

Reshapes and picks of a vector that is alone move nothing: the operator that reads one reads through it.
"""

from compiler.graph import Graph, Value
from compiler.passes.readout import block, is_vector

VIEWS = ("reshape", "take")


def separate_vectors(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if is_vector(value) and (value.operator not in VIEWS or value is graph.output):
            rewrites[value] = block(graph, {value, *_views_above(value)}, value)
    return graph.substitute(rewrites)


def _views_above(value: Value) -> set[Value]:
    views: set[Value] = set()
    pending = list(value.inputs)
    while pending:
        operand = pending.pop()
        if is_vector(operand) and operand.operator in VIEWS:
            views.add(operand)
            pending.extend(operand.inputs)
    return views
