"""Computes at compile time what depends on no input: position ids, transposed weights, masks' constants."""

from compiler.evaluate import apply
from compiler.graph import Graph, Value, constant


def fold_constants(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        operands = [rewrites.get(operand, operand) for operand in value.inputs]
        if value.operator not in ("constant", "input") and all(operand.is_constant for operand in operands):
            rewrites[value] = constant(apply(value, [operand.data for operand in operands if operand.data is not None]))
    return graph.substitute(rewrites)
