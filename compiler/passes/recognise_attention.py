"""softmax(q k^T s + mask) v, which exporters spell out, is one attention: q, k, v (1, S, A, D) -> (1, S, A, D), as in Relax.

Scales may stand before or after the product, masks may be added or chosen by a condition, and a guard against rows that are
masked whole may follow the softmax: a sentence has at least one token.
"""

from dataclasses import dataclass, field

import numpy as np

from compiler.graph import Graph, Member, Value, constant, fuse

LAW = "many-to-many: operators that spell out attention"
HEADS_LAST = (0, 2, 1, 3)  # (1, A, S, D) <-> (1, S, A, D)
KEYS = (0, 3, 1, 2)  # (1, A, D, S) -> (1, S, A, D)
MASKED = -1e3  # a score at most this is one that is to vanish


@dataclass
class _Scores:
    """What was found on the way from the softmax to the product of queries and keys."""

    scale: float = 1.0
    mask: Value | None = None
    of: list[Value] = field(default_factory=list)


def recognise_attention(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "matmul" and len(value.shape) == 4 and value.shape[0] == 1:
            found = _attention(value)
            if found:
                rewrites[value] = found
    return graph.substitute(rewrites)


def _attention(context: Value) -> Value | None:
    weights, values = context.inputs
    guard: list[Value] = []
    if weights.operator == "where" and weights.inputs[0].operator == "isnan":
        guard = [weights.inputs[0], weights]
        weights = weights.inputs[2]
    if weights.operator != "nn.softmax" or weights["axis"] not in (-1, 3):
        return None
    scores = _Scores()
    product = _peel(weights.inputs[0], scores)
    if product is None or product.operator != "matmul" or product.inputs[1].is_constant:
        return None
    query, key = (_unscaled(operand, scores) for operand in product.inputs)
    of = [*scores.of[::-1], product, weights, *guard, context]
    heads, tokens, size = values.shape[1:]
    if query.shape != (1, heads, tokens, size) or key.shape != (1, heads, size, tokens):
        return None
    operands = [_permuted(query, HEADS_LAST), _permuted(key, KEYS), _permuted(values, HEADS_LAST)]
    masks = [] if scores.mask is None else [scores.mask]
    like = Value("nn.attention", (), (1, tokens, heads, size))
    name = "nn.attention_bias" if masks else "nn.attention"
    return _permuted(fuse(name, (*operands, *masks), of, like, LAW, scale=scores.scale), HEADS_LAST)


def _peel(value: Value, scores: _Scores) -> Value | None:
    """Scales and at most one mask taken off, down to the product of queries and keys."""
    while value.operator != "matmul":
        scaled = _scaled(value)
        if scaled:
            source, factor = scaled
            scores.scale *= factor
        elif scores.mask is not None or scores.scale != 1.0:  # a second mask, or one that would be scaled too
            return None
        elif value.operator == "add":
            source, scores.mask = _ends_in_matmul(*value.inputs)
        elif value.operator == "where":
            found = _chosen(value)
            if found is None:
                return None
            source, scores.mask = found
        else:
            return None
        scores.of.append(value)
        value = source
    return value


def _ends_in_matmul(left: Value, right: Value) -> tuple[Value, Value]:
    """(scores, mask): the scores are the operand that has heads."""
    return (left, right) if left.shape[1:2] != (1,) and len(left.shape) == 4 else (right, left)


def _chosen(value: Value) -> tuple[Value, Value] | None:
    """`where(condition, scores, number)`, or the other way round, as scores and what may be added to them instead."""
    condition, first, second = value.inputs
    for index, (scores, number) in enumerate(((first, second), (second, first))):
        if number.is_constant and number.data is not None and number.data.size == 1 and number.data.item() <= MASKED:
            branches = (constant(np.zeros((), np.float32)), constant(number.data.reshape(()).astype(np.float32)))
            operands = (condition, *(branches if index == 0 else branches[::-1]))
            member = Member("where", 4 * int(np.prod(condition.shape)))
            return scores, Value("where", operands, condition.shape, members=(member,))
    return None


def _unscaled(operand: Value, scores: _Scores) -> Value:
    while scaled := _scaled(operand):
        scores.of.append(operand)
        operand, factor = scaled
        scores.scale *= factor
    return operand


def _scaled(value: Value) -> tuple[Value, float] | None:
    """`x * number` or `x / number` as (x, factor)."""
    if value.operator not in ("multiply", "divide"):
        return None
    for source, number in (value.inputs, value.inputs[::-1]):
        if number.is_constant and number.data is not None and number.data.size == 1 and source.shape == value.shape:
            if value.operator == "multiply":
                return source, float(number.data.item())
            return (source, 1.0 / float(number.data.item())) if number is value.inputs[1] else None
    return None


def _permuted(value: Value, axes: tuple[int, ...]) -> Value:
    """A transpose that no program wrote, and that others undo."""
    return Value("permute_dims", (value,), tuple(value.shape[axis] for axis in axes), value.dtype, {"axes": axes})
