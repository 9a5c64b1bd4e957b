"""Composite operators written out in primitive ones, as an ONNX file of CANAO's time has them.

LayerNorm is nine layers of computation there, GELU five, attention two matmuls with scale, mask and softmax between them.
That is what CANAO's Table 1 counts, and what runs where nothing is fused.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np

from compiler.graph import Graph, Value, constant

SWAPPED_HEADS = (0, 2, 1, 3)  # (B, S, A, D) <-> (B, A, S, D)


def written_out(value: Value) -> Value:
    """An equal value made of primitive operators, or the value itself where it is one."""
    expand = COMPOSITES.get(value.operator)
    over_rows = value.attributes.get("axes", (-1,)) in ((-1,), (len(value.shape) - 1,))
    return expand(value) if expand and over_rows else value


def steps(value: Value) -> list[Value]:
    """The primitive operators that a value stands for, in order."""
    result = written_out(value)
    if result is value:
        return [value]
    known = set(Graph((), value).values()) - {value}
    return [step for step in Graph((), result).values() if step not in known and not step.is_constant]


def swaps_heads(value: Value) -> bool:
    return value.operator == "permute_dims" and value["axes"] == SWAPPED_HEADS


def _layer_norm(value: Value) -> Value:
    x, *affine = value.inputs
    narrow = (*x.shape[:-1], 1)
    centred = _op("subtract", x, _mean(x, narrow), shape=x.shape)
    variance = _mean(_op("multiply", centred, centred, shape=x.shape), narrow)
    deviation = _op("sqrt", _op("add", variance, _number(value["epsilon"]), shape=narrow), shape=narrow)
    result = _op("divide", centred, deviation, shape=x.shape)
    for operator, operand in zip(("multiply", "add"), affine, strict=False):
        result = _op(operator, result, operand, shape=x.shape)
    return result


def _gelu(value: Value) -> Value:
    x = value.inputs[0]
    half_integral = _op(
        "add", _op("erf", _op("divide", x, _number(sqrt(2)), shape=x.shape), shape=x.shape), _number(1), shape=x.shape
    )
    return _op("multiply", _op("multiply", x, half_integral, shape=x.shape), _number(0.5), shape=x.shape)


def _power(value: Value) -> Value:
    """Squares and cubes, which GELU's approximation by tanh has."""
    x, exponent = value.inputs
    times = 0 if exponent.data is None or exponent.data.size != 1 else float(exponent.data.reshape(-1)[0])
    result = x
    for _ in range(int(times) - 1):
        result = _op("multiply", result, x, shape=value.shape)
    return result if times in (2, 3) else value


def _attention(value: Value) -> Value:
    """Transposes that the import wrapped around the operator, because Relax wants (B, S, A, D), are left out again."""
    query, key, context = (item.inputs[0] if swaps_heads(item) else _swap(item) for item in value.inputs[:3])  # (B, A, S, D)
    batch, heads, tokens, size = query.shape
    keys = key.shape[2]
    scale = value.attributes.get("scale")
    turned = _op("permute_dims", key, shape=(batch, heads, size, keys), axes=(0, 1, 3, 2))
    scores = _op("matmul", query, turned, shape=(batch, heads, tokens, keys))
    scores = _op("multiply", scores, _number(size**-0.5 if scale is None else scale), shape=scores.shape)
    for mask in value.inputs[3:]:
        scores = _op("add", scores, mask, shape=scores.shape)
    weights = _op("nn.softmax", scores, shape=scores.shape, axis=-1)
    return _swap(_op("matmul", weights, context, shape=(batch, heads, tokens, context.shape[3])))


def _swap(x: Value) -> Value:
    first, second, third, fourth = x.shape
    return _op("permute_dims", x, shape=(first, third, second, fourth), axes=SWAPPED_HEADS)


def _mean(x: Value, shape: tuple[int, ...]) -> Value:
    return _op("mean", x, shape=shape, axis=(-1,))


def _op(operator: str, *inputs: Value, shape: tuple[int, ...], **attributes: object) -> Value:
    return Value(operator, inputs, shape, attributes=attributes)


def _number(value: float) -> Value:
    return constant(np.array(value, np.float32))


COMPOSITES: dict[str, Callable[[Value], Value]] = {
    "nn.layer_norm": _layer_norm,
    "nn.gelu": _gelu,
    "power": _power,
    "nn.attention": _attention,
    "nn.attention_bias": _attention,
}
