"""Computes at compile time what depends on no input: position ids, transposed weights, masks' constants. Each once: layers that
share weights share what is made of them.
"""

from typing import Any

from compiler.evaluate import apply
from compiler.graph import Graph, Value, constant


def fold_constants(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    made: dict[Any, Value] = {}
    for value in graph.values():
        operands = [rewrites.get(operand, operand) for operand in value.inputs]
        if value.operator not in ("constant", "input") and all(operand.is_constant for operand in operands):
            key = (value.operator, *map(id, operands), value.shape, value.dtype, repr(value.attributes))
            if key not in made:
                made[key] = constant(apply(value, [operand.data for operand in operands if operand.data is not None]))
            rewrites[value] = made[key]
    return graph.substitute(rewrites)
