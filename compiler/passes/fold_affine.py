"""Associative law: LayerNorm's affine goes into the weights of the matmuls that read it, (n g + b) W + c = n (g W) + (b W + c).

Only where matmuls are all that reads it, as between embeddings of their own width and the projection to the hidden size, or
in an encoder that normalises before each half layer. In BERT's post-LayerNorm layers the residual reads it too: it would have
to apply the affine itself, which saves no byte and no operation.
"""

import numpy as np

from compiler.graph import Graph, Value, constant

LAW = "associative: LayerNorm's affine folded into the next matmul's weights"


def fold_affine(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        affine = value.inputs[1:]
        if value.operator != "nn.layer_norm" or len(affine) != 2 or not all(operand.is_constant for operand in affine):
            continue
        matmuls = readers.get(value, [])
        if not matmuls or not all(_takes_affine(reader, value) for reader in matmuls):
            continue
        normalised = Value(value.operator, value.inputs[:1], value.shape, value.dtype, value.attributes, members=value.members)
        rewrites |= {reader: _folded(reader, normalised, *map(_numbers, affine)) for reader in matmuls}
    return graph.substitute(rewrites)


def _takes_affine(reader: Value, norm: Value) -> bool:
    """Whether a value is a linear block on the LayerNorm's result, which is no residual of it."""
    return reader.operator == "linear" and reader.inputs[0] is norm and norm not in reader.inputs[1:]


def _folded(block: Value, normalised: Value, scale: np.ndarray, shift: np.ndarray) -> Value:
    weight, bias = (_numbers(operand) for operand in block.inputs[1:3])
    inputs = (normalised, constant(scale[:, None] * weight), constant(shift @ weight + bias), *block.inputs[3:])
    return Value(
        block.operator, inputs, block.shape, block.dtype, block.attributes, members=block.members, laws=(*block.laws, LAW)
    )


def _numbers(value: Value) -> np.ndarray:
    assert value.data is not None
    return value.data
