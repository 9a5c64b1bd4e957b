"""Associative law: (x W1) W2 = x (W1 W2), where a query and a key are projected twice and the value once, from the same x.

MobileBERT narrows x before it projects queries and keys. Composed, all three projections read x, and are one matmul: a little
more computation, but a kernel and a tensor fewer, and a matmul wide enough for all cores.
"""

import numpy as np

from compiler.graph import Graph, Value, constant, fuse

LAW = "associative: two projections composed"
MOST_GROWTH = 2.0  # of the multiply-accumulates of the projections concerned


def compose_projections(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator not in ("nn.attention", "nn.attention_bias"):
            continue
        projections = [_projection(operand) for operand in value.inputs[:3]]
        if any(projection is None for projection in projections):
            continue
        plain = [projection for projection in projections if projection is not None]
        sources = {projection.inputs[0] for projection in plain}
        for source in sources:
            twice = {projection for projection in plain if projection.inputs[0] is not source}
            narrowed = {projection.inputs[0] for projection in twice}
            if twice and all(_is_plain(first) and first.inputs[0] is source for first in narrowed) and _pays(twice, narrowed):
                rewrites |= {second: _composed(second.inputs[0], second) for second in twice}
    return graph.substitute(rewrites)


def _projection(operand: Value) -> Value | None:
    while operand.operator == "reshape":
        operand = operand.inputs[0]
    return operand if _is_plain(operand) else None


def _is_plain(value: Value) -> bool:
    return value.operator == "linear" and not value.attributes


def _pays(twice: set[Value], narrowed: set[Value]) -> bool:
    before = sum(_weights(block).size for block in (*twice, *narrowed))
    after = sum(_weights(block.inputs[0]).shape[0] * _weights(block).shape[1] for block in twice)
    return after <= MOST_GROWTH * before


def _composed(first: Value, second: Value) -> Value:
    """In double precision: what rounding there is, is that of one matmul."""
    inner, outer = _weights(first).astype(np.float64), _weights(second).astype(np.float64)
    bias = _numbers(first.inputs[2]).astype(np.float64) @ outer + _numbers(second.inputs[2])
    operands = (first.inputs[0], constant((inner @ outer).astype(np.float32)), constant(bias.astype(np.float32)))
    return fuse("linear", operands, (first, second), second, LAW)


def _weights(block: Value) -> np.ndarray:
    return _numbers(block.inputs[1])


def _numbers(value: Value) -> np.ndarray:
    assert value.data is not None
    return value.data
