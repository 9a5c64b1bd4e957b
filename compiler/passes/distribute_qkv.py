"""Distributive law: the three projections of an attention share their input, x Wq, x Wk, x Wv = x [Wq Wk Wv]: one matmul.

The attention block then reads queries, keys and values where that matmul left them, side by side in rows of 3 H: the splits
into heads and the transposes around them are gone. Associative law: the scores' scale is a factor of the query weights,
s (x Wq) k^T = (x s Wq) k^T.
"""

from dataclasses import replace

import numpy as np

from compiler.fusion import propose
from compiler.graph import Graph, Value, constant
from compiler.passes.linear import has_epilogue

DISTRIBUTIVE = "distributive: x Wq, x Wk, x Wv = x [Wq Wk Wv]"
ASSOCIATIVE = "associative: score scale folded into query weights"
REORGANIZE = "reorganize: heads read in place, score rows stay in cache"


def distribute_qkv(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator not in ("nn.attention", "nn.attention_bias") or not _key_mask_only(value):
            continue
        projections = [_projection(operand) for operand in value.inputs[:3]]
        joined = readers.get(value, [])
        if len(joined) == 1 and joined[0].operator == "reshape" and joined[0].shape == (*value.shape[:2], _width(value)):
            result = joined[0]
        else:
            continue
        found = [pair for pair in projections if pair]
        if len(found) != 3 or len({pair[0].inputs[0] for pair in found}) != 1:
            continue
        splits = [step for pair in found for step in pair[1]]
        block = _fused(value, result, [pair[0] for pair in found], splits, readers)
        if block:
            rewrites[result] = block
    return graph.substitute(rewrites)


def _width(attention: Value) -> int:
    return attention.shape[2] * attention.shape[3]


def _key_mask_only(attention: Value) -> bool:
    """No mask, or a table over keys: batch of one, any head, any query."""
    plain = attention.attributes.get("causal_mask") is None and attention.attributes.get("window_size") is None
    return attention.shape[0] == 1 and plain and all(mask.operator == "token_table" for mask in attention.inputs[3:])


def _projection(operand: Value) -> tuple[Value, list[Value]] | None:
    """The linear block whose columns the heads are, and the reshapes on the way."""
    steps = []
    while operand.operator == "reshape":
        steps.append(operand)
        operand = operand.inputs[0]
    return (operand, steps) if operand.operator == "linear" and len(steps) == 1 and not has_epilogue(operand) else None


def _fused(
    attention: Value, result: Value, projections: list[Value], splits: list[Value], readers: dict[Value, list[Value]]
) -> Value | None:
    _, _, heads, head_size = attention.shape
    scale = attention.attributes.get("scale")
    factor = np.float32(head_size**-0.5 if scale is None else scale)
    groups = projections[0].attributes.get("groups", 1)
    if any(projection.attributes.get("groups", 1) != groups for projection in projections):
        groups = 1
    weights = [_weight(projection, groups) for projection in projections]
    biases = [_numbers(projection.inputs[2]) for projection in projections]
    weight = np.concatenate([weights[0] * factor, *weights[1:]], axis=1)  # (K / groups, 3 H)
    bias = np.concatenate([biases[0] * factor, *biases[1:]])  # (3 H,)
    like = Value("linear", (), (*result.shape[:-1], 3 * heads * head_size))
    grouped = {"groups": groups, "repeats": len(projections)} if groups != 1 else {}
    inputs = (projections[0].inputs[0], constant(weight), constant(bias))
    # The three results are still written, side by side: what is gained is one matmul three times as large.
    packed = propose("linear", inputs, projections, like, DISTRIBUTIVE, readers, results=projections, **grouped)
    if packed is None:
        return None
    packed = replace(packed, laws=(*packed.laws, ASSOCIATIVE))
    operands = (packed, *attention.inputs[3:])
    return propose("attention", operands, (*splits, attention, result), result, REORGANIZE, readers, heads=heads)


def _weight(projection: Value, groups: int) -> np.ndarray:
    """(K / groups, H), spread out where the projections disagree about groups."""
    weight = _numbers(projection.inputs[1])
    own = projection.attributes.get("groups", 1)
    if own == groups:
        return weight
    depth, width = weight.shape[0], weight.shape[1] // own
    spread = np.zeros((depth * own, weight.shape[1]), np.float32)
    for group in range(own):
        columns = slice(group * width, (group + 1) * width)
        spread[group * depth : (group + 1) * depth, columns] = weight[:, columns]
    return spread


def _numbers(value: Value) -> np.ndarray:
    assert value.data is not None
    return value.data
