"""ONNX operators that compute: element by element, along rows, and with matrices (opset 13 to 21)."""

from typing import Any

import numpy as np

from compiler.graph import Value, constant
from compiler.onnx.node import Converter, Node


def _elementwise(operator: str, dtype: str | None = None) -> Converter:
    """Operands broadcast against each other; the result has `dtype`, or the first operand's."""

    def convert(node: Node) -> Value:
        shape = np.broadcast_shapes(*(value.shape for value in node.operands))
        return node.emit(operator, *node.operands, shape=shape, dtype=dtype or node[0].dtype)

    return convert


def _where(node: Node) -> Value:
    shape = np.broadcast_shapes(*(value.shape for value in node.operands))
    return node.emit("where", *node.operands, shape=shape, dtype=node[1].dtype)


def _clip(node: Node) -> Value:
    low = float(node.known(1).reshape(-1)[0]) if node.has(1) else -np.inf
    high = float(node.known(2).reshape(-1)[0]) if node.has(2) else np.inf
    return node.emit("clip", node[0], shape=node[0].shape, dtype=node[0].dtype, arguments=(low, high))


def _reciprocal(node: Node) -> Value:
    return node.emit("divide", constant(np.ones((), np.float32)), node[0], shape=node[0].shape)


def _extremum(operator: str) -> Converter:
    """Max and Min of any number of operands."""

    def convert(node: Node) -> Value:
        result = node[0]
        for other in node.operands[1:]:
            result = node.emit(
                operator, result, other, shape=np.broadcast_shapes(result.shape, other.shape), dtype=result.dtype
            )
        return result

    return convert


def _reduction(operator: str) -> Converter:
    def convert(node: Node) -> Value:
        rank = len(node[0].shape)
        axes = node.axes()
        if axes is None or not axes:
            if node.attribute("noop_with_empty_axes", 0):
                return node[0]
            axes = tuple(range(rank))
        kept = bool(node.attribute("keepdims", 1))
        shape = [1 if axis in axes else size for axis, size in enumerate(node[0].shape) if kept or axis not in axes]
        return node.emit(operator, node[0], shape=shape, dtype=node[0].dtype, axis=axes, keepdims=kept)

    return convert


def _matmul(node: Node) -> Value:
    return _product(node, node[0], node[1])


def _product(node: Node, left: Value, right: Value) -> Value:
    if len(left.shape) < 2 or len(right.shape) < 2 or left.shape[-1] != right.shape[-2]:
        raise ValueError(f"cannot multiply {left.shape} by {right.shape}")
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    return node.emit("matmul", left, right, shape=(*batch, left.shape[-2], right.shape[-1]))


def _gemm(node: Node) -> Value:
    operands = []
    for index, name in enumerate(("transA", "transB")):
        value = node[index]
        if node.attribute(name, 0):
            value = node.emit("permute_dims", value, shape=value.shape[::-1], axes=(1, 0))
        operands.append(value)
    result = _product(node, *operands)
    result = _scaled(node, result, float(node.attribute("alpha", 1.0)))
    if not node.has(2):
        return result
    bias = _scaled(node, node[2], float(node.attribute("beta", 1.0)))
    return node.emit("add", result, bias, shape=np.broadcast_shapes(result.shape, bias.shape))


def _scaled(node: Node, value: Value, factor: float) -> Value:
    return value if factor == 1.0 else node.emit("multiply", value, constant(np.array(factor, np.float32)), shape=value.shape)


def _conv(node: Node) -> Value:
    """One spatial axis, whose kernel may have any width; what schedules cannot do is refused after the passes."""
    source, weight = node[0], node[1]
    if len(source.shape) != 3 or node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise ValueError(f"a convolution of {source.shape}; supported are those along the sequence alone")
    strides, dilation = (tuple(node.attribute(name, (1,))) for name in ("strides", "dilations"))
    padding = tuple(node.attribute("pads", (0, 0)))
    length = (source.shape[2] + sum(padding) - dilation[0] * (weight.shape[2] - 1) - 1) // strides[0] + 1
    attributes: dict[str, Any] = {
        "strides": strides,
        "dilation": dilation,
        "padding": padding,
        "groups": int(node.attribute("group", 1)),
    }
    result = node.emit("nn.conv1d", source, weight, shape=(source.shape[0], weight.shape[0], length), **attributes)
    if not node.has(2):
        return result
    bias = constant(node.known(2).reshape(1, -1, 1))
    return node.emit("add", result, bias, shape=result.shape)


def _softmax(node: Node) -> Value:
    return node.emit("nn.softmax", node[0], shape=node[0].shape, axis=node.axis(-1))


def _layer_normalization(node: Node) -> Value:
    rank = len(node[0].shape)
    first = node.axis(-1)
    if first != rank - 1:
        raise ValueError("LayerNorm over more than the last axis")
    shift = node[2] if node.has(2) else constant(np.zeros(node[1].shape, np.float32))
    epsilon = float(node.attribute("epsilon", 1e-5))
    return node.emit("nn.layer_norm", node[0], node[1], shift, shape=node[0].shape, axes=(-1,), epsilon=epsilon)


def _gelu(node: Node) -> Value:
    tanh = node.attribute("approximate", "none") == "tanh"
    return node.emit("nn.gelu_tanh" if tanh else "nn.gelu", node[0], shape=node[0].shape)


ARITHMETIC: dict[str, Converter] = {
    # element by element
    "Add": _elementwise("add"),
    "Sub": _elementwise("subtract"),
    "Mul": _elementwise("multiply"),
    "Div": _elementwise("divide"),
    "Pow": _elementwise("power"),
    "Abs": _elementwise("abs"),
    "Neg": _elementwise("negative"),
    "Exp": _elementwise("exp"),
    "Sqrt": _elementwise("sqrt"),
    "Erf": _elementwise("erf"),
    "Tanh": _elementwise("tanh"),
    "Sigmoid": _elementwise("sigmoid"),
    "Relu": _elementwise("nn.relu"),
    "Reciprocal": _reciprocal,
    "Clip": _clip,
    "Max": _extremum("maximum"),
    "Min": _extremum("minimum"),
    "Gelu": _gelu,
    # conditions
    "Equal": _elementwise("equal", "bool"),
    "Less": _elementwise("less", "bool"),
    "LessOrEqual": _elementwise("less_equal", "bool"),
    "Greater": _elementwise("greater", "bool"),
    "GreaterOrEqual": _elementwise("greater_equal", "bool"),
    "Not": _elementwise("logical_not", "bool"),
    "And": _elementwise("logical_and", "bool"),
    "Or": _elementwise("logical_or", "bool"),
    "IsNaN": _elementwise("isnan", "bool"),
    "Where": _where,
    # rows and matrices
    "ReduceMean": _reduction("mean"),
    "ReduceSum": _reduction("sum"),
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "Softmax": _softmax,
    "LayerNormalization": _layer_normalization,
}
