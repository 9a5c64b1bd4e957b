"""Commutative law: a convolution of width one on (1, C, S) is a linear block on (1, S, C), grouped where the convolution is.

In groups, each block of output columns reads its own part of the input (SqueezeBERT, Iandola et al. 2020, section 3).
"""

import numpy as np

from compiler.graph import Graph, Value, constant, fuse

CHANNELS_LAST = (0, 2, 1)
LAW = "commutative: convolution of width one as a linear block"


def pointwise_convolution(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "nn.conv1d" and value.inputs[1].data is not None and _is_pointwise(value):
            rewrites[value] = _linear(value, value.inputs[1].data)
    return graph.substitute(rewrites)


def _is_pointwise(value: Value) -> bool:
    plain = tuple(value["strides"]) == (1,) and not any(value["padding"])
    return value.shape[0] == 1 and value.inputs[1].shape[2] == 1 and plain


def _linear(value: Value, kernel: np.ndarray) -> Value:
    _, channels, tokens = value.shape
    weight = constant(np.ascontiguousarray(kernel[:, :, 0].T))  # (C / groups, N)
    bias = constant(np.zeros(channels, np.float32))
    groups = {"groups": int(value["groups"])} if value["groups"] != 1 else {}
    like = Value("linear", (), (1, tokens, channels))
    block = fuse("linear", (_transposed(value.inputs[0]), weight, bias), (value,), like, LAW, **groups)
    return _transposed(block)


def _transposed(value: Value) -> Value:
    shape = tuple(value.shape[axis] for axis in CHANNELS_LAST)
    return Value("permute_dims", (value,), shape, value.dtype, {"axes": CHANNELS_LAST})
