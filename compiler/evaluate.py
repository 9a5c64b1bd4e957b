"""What every operator means, in numpy: folds constants, tabulates masks, and is the reference that passes are tested against."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import erf
from typing import Any

import numpy as np

from compiler.graph import Graph, Value
from compiler.quantization import rounded
from data.errors import CompileError

Array = np.ndarray
_erf = np.vectorize(erf, otypes=[np.float64])


def evaluate(graph: Graph, inputs: Mapping[str, Array]) -> Array:
    """The output for the named inputs.

    Raises:
        CompileError: an operator without a meaning here; the message names it.
    """
    known: dict[Value, Array] = {value: inputs[value.name] for value in graph.inputs if value.name in inputs}
    for value in graph.values():
        if value not in known:
            known[value] = apply(value, [known[operand] for operand in value.inputs])
    return known[graph.output]


def apply(value: Value, operands: list[Array]) -> Array:
    """One operator on known operands, in the type that the value declares."""
    if value.data is not None:
        return value.data
    operator = OPERATORS.get(value.operator)
    if operator is None:
        raise CompileError(f"operator '{value.operator}' is not supported")
    return np.asarray(operator(value, *operands)).astype(value.dtype, copy=False)


def compute(values: Iterable[Value], known: dict[Value, Array]) -> None:
    """Adds the numbers of `values`, each after its operands, to those that are known; constants need not be."""
    with np.errstate(all="ignore"):
        for value in values:
            known[value] = apply(value, [known[o] if o.data is None else o.data for o in value.inputs])


def gelu(x: Array) -> Array:
    """x * Phi(x), with erf (Hendrycks and Gimpel 2016)."""
    return x * 0.5 * (1.0 + _erf(x / np.sqrt(2.0)))


def gelu_tanh(x: Array) -> Array:
    """GELU's approximation by tanh (Hendrycks and Gimpel 2016, section 2)."""
    return x * 0.5 * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array, axis: int = -1) -> Array:
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def layer_norm(x: Array, affine: Sequence[Array], epsilon: float) -> Array:
    """`affine`: scale and shift, or neither."""
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    normalised = (x - mean) / np.sqrt(variance + epsilon)
    return normalised * affine[0] + affine[1] if affine else normalised


def _axes(value: Value) -> tuple[int, ...] | None:
    axis = value.attributes.get("axis")
    return axis if axis is None or isinstance(axis, tuple) else (axis,)


def _slice(value: Value, x: Array) -> Array:
    axes, begin, end, *stride = value["arguments"]
    slices = [slice(None)] * x.ndim
    for axis, start, stop, step in zip(axes, begin, end, stride[0] if stride else (1,) * len(axes), strict=True):
        slices[axis] = slice(start, stop, step)
    return x[tuple(slices)]


def _take(value: Value, x: Array, indices: Array) -> Array:
    return np.take(x, indices, axis=value["axis"])


def _attention(value: Value, query: Array, key: Array, value_: Array, *mask: Array) -> Array:
    """Relax's layout (B, S, A, D)."""
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (query, key, value_))
    scale = value.attributes.get("scale")
    scores = q @ k.swapaxes(-1, -2) * (1.0 / np.sqrt(q.shape[-1]) if scale is None else scale)
    return (softmax(scores + mask[0] if mask else scores) @ v).transpose(0, 2, 1, 3)


def _linear(value: Value, x: Array, weight: Array, bias: Array, *rest: Array) -> Array:
    """x (rows, K) @ weight (K, N) + bias, then the epilogue that the block carries."""
    attributes = value.attributes
    result = _grouped(x.reshape(-1, x.shape[-1]), weight, attributes.get("groups", 1), attributes.get("repeats", 1)) + bias
    operands = list(rest)
    if attributes.get("activation"):
        result = ACTIVATIONS[attributes["activation"]](result)
    if attributes.get("residual"):
        residual = operands.pop(0).reshape(result.shape)
        result = result + (residual * operands.pop(0) if attributes.get("scaled") else residual)
    if "epsilon" in value.attributes:
        result = layer_norm(result, operands, value["epsilon"])
    return result.reshape(value.shape)


def _grouped(x: Array, weight: Array, groups: int, repeats: int) -> Array:
    """x (rows, K) @ weight (K / groups, N): the i-th of `groups * repeats` blocks of columns reads the (i % groups)-th part of x."""
    parts = np.split(x, groups, axis=1)
    blocks = np.split(weight, groups * repeats, axis=1)
    return np.concatenate([parts[index % groups] @ block for index, block in enumerate(blocks)], axis=1)


def _convolution(value: Value, x: Array, weight: Array) -> Array:
    """x (1, C, S), weight (N, C / groups, 1) -> (1, N, S); other kernels have no schedule."""
    if weight.shape[2] != 1 or tuple(value["strides"]) != (1,) or any(value["padding"]):
        raise CompileError("operator 'nn.conv1d' is supported for kernels of width 1 only")
    parts = np.split(x, value["groups"], axis=1)
    blocks = np.split(weight[:, :, 0], value["groups"], axis=0)
    return np.concatenate([block @ part for block, part in zip(blocks, parts, strict=True)], axis=1)


def _pad(value: Value, x: Array) -> Array:
    widths = np.reshape(value["pad_width"], (-1, 2))
    return np.pad(x, widths, constant_values=value.attributes.get("pad_value", 0.0))


def _packed_attention(value: Value, packed: Array, *mask: Array) -> Array:
    """Queries, keys and values side by side (S, 3 H) -> (S, H); scores are not scaled, the query weights are.

    The mask is a tensor added to the scores, or mask bits and segments with a table (`compiler.passes.attention_mask`).
    """
    heads = value["heads"]
    rows = packed.reshape(-1, packed.shape[-1])
    query, key, value_ = (part.reshape(len(rows), heads, -1).swapaxes(0, 1) for part in np.split(rows, 3, axis=-1))
    scores = query @ key.swapaxes(-1, -2)
    if len(mask) == 2:
        scores = scores + np.asarray(value["mask"])[mask[0].reshape(-1), mask[1].reshape(-1)]
    elif mask:
        scores = scores + mask[0].reshape(1, 1, -1)
    context = softmax(scores) @ value_
    return context.swapaxes(0, 1).reshape(value.shape)


def _embedding(value: Value, *inputs: Array) -> Array:
    """Rows of tables, summed; `neighbours` puts the next and the previous token's rows beside each token's own."""
    operands = list(inputs)
    total = np.zeros(value.shape[-2:], np.float32)
    if value.attributes.get("words", True):
        words, ids = operands.pop(0), operands.pop(0)
        rows = words[ids.reshape(-1)]
        total = total + (_with_neighbours(rows) if value.attributes.get("neighbours") else rows)
    if value["positions"]:
        total = total + operands.pop(0).reshape(-1, total.shape[-1])[: len(total)]
    if value["types"]:
        table, types = operands.pop(0), operands.pop(0)
        total = total + table[types.reshape(-1)]
    if value["epsilon"] is None:
        return total.reshape(value.shape)
    return layer_norm(total, operands, value["epsilon"]).reshape(value.shape)


def _with_neighbours(rows: Array) -> Array:
    """(S, E) -> (S, 3 E): the next token's row, its own, the one before; zeros beyond the ends (MobileBERT, section 3.1)."""
    beyond = np.zeros_like(rows[:1])
    return np.concatenate([np.concatenate([rows[1:], beyond]), rows, np.concatenate([beyond, rows[:-1]])], axis=1)


def _one_hot(value: Value, indices: Array) -> Array:
    return np.eye(value["depth"])[indices]


def _token_table(value: Value, mask: Array, types: Array) -> Array:
    table = np.asarray(value["table"])
    return table[mask.reshape(-1), types.reshape(-1)].reshape(value.shape)


def _token_sum(value: Value, hidden: Array, weights: Array) -> Array:
    return (weights.reshape(1, -1) @ hidden.reshape(-1, hidden.shape[-1])).reshape(value.shape)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu": relu}
OPERATORS: dict[str, Callable[..., Any]] = {
    "astype": lambda v, x: x.astype(v.dtype),
    "reshape": lambda v, x: x.reshape(v.shape),
    "expand_dims": lambda v, x: x.reshape(v.shape),
    "squeeze": lambda v, x: x.reshape(v.shape),
    "flatten": lambda v, x: x.reshape(v.shape),
    "broadcast_to": lambda v, x: np.broadcast_to(x, v.shape),
    "permute_dims": lambda v, x: x.transpose(v["axes"]),
    "strided_slice": _slice,
    "concat": lambda v, *x: np.concatenate(x, axis=v["axis"]),
    "nn.pad": _pad,
    "take": _take,
    "one_hot": _one_hot,
    "index_tensor": lambda v, x, *indices: x[indices],
    "arange": lambda v: np.arange(*v["arguments"]),
    "full": lambda v, x: np.full(v.shape, x),
    "zeros": lambda v: np.zeros(v.shape),
    "ones": lambda v: np.ones(v.shape),
    "add": lambda v, x, y: x + y,
    "subtract": lambda v, x, y: x - y,
    "multiply": lambda v, x, y: x * y,
    "divide": lambda v, x, y: x / y,
    "power": lambda v, x, y: np.power(x, y),
    "maximum": lambda v, x, y: np.maximum(x, y),
    "minimum": lambda v, x, y: np.minimum(x, y),
    "clip": lambda v, x: np.clip(x, *v["arguments"]),
    "abs": lambda v, x: np.abs(x),
    "negative": lambda v, x: -x,
    "exp": lambda v, x: np.exp(x),
    "sqrt": lambda v, x: np.sqrt(x),
    "tanh": lambda v, x: np.tanh(x),
    "erf": lambda v, x: _erf(x),
    "sigmoid": lambda v, x: 1 / (1 + np.exp(-x)),
    "nn.relu": lambda v, x: relu(x),
    "nn.gelu": lambda v, x: gelu(x),
    "nn.gelu_tanh": lambda v, x: gelu_tanh(x),
    "nn.softmax": lambda v, x: softmax(x, v.attributes.get("axis", -1)),
    "nn.layer_norm": lambda v, x, *affine: layer_norm(x, affine, v["epsilon"]),
    "nn.attention": _attention,
    "nn.attention_bias": _attention,
    "where": lambda v, c, x, y: np.where(c, x, y),
    "equal": lambda v, x, y: x == y,
    "not_equal": lambda v, x, y: x != y,
    "less": lambda v, x, y: x < y,
    "greater": lambda v, x, y: x > y,
    "less_equal": lambda v, x, y: x <= y,
    "greater_equal": lambda v, x, y: x >= y,
    "logical_not": lambda v, x: np.logical_not(x),
    "logical_and": lambda v, x, y: np.logical_and(x, y),
    "logical_or": lambda v, x, y: np.logical_or(x, y),
    "isnan": lambda v, x: np.isnan(x),
    "bitwise_and": lambda v, x, y: np.bitwise_and(x, y),
    "sum": lambda v, x: x.sum(axis=_axes(v)).reshape(v.shape),
    "mean": lambda v, x: x.mean(axis=_axes(v)).reshape(v.shape),
    "matmul": lambda v, x, y: x @ y,
    "nn.conv1d": _convolution,
    "linear": _linear,
    "half": lambda v, x: x,
    "quantize": lambda v, x: rounded(x, axis=-1),
    "attention": _packed_attention,
    "embedding": _embedding,
    "gather": lambda v, table, ids: table[ids.reshape(-1)].reshape(v.shape),
    "transpose": lambda v, x: x.reshape(v["view"]).transpose(v["axes"]).reshape(v.shape),
    "token_table": _token_table,
    "token_sum": _token_sum,
    "token": lambda v, x: x.reshape(-1, x.shape[-1])[v["index"]].reshape(v.shape),
    "readout": lambda v, *x: evaluate(
        v["program"], dict(zip((item.name for item in v["program"].inputs), x, strict=True))
    ).reshape(v.shape),
}
