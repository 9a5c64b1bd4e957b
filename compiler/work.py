"""What a kernel has to do, in numbers that do not depend on how it is written: what latency is predicted from.

Bytes are of float32 numbers, where a precision does not say otherwise. Token ids and masks are left out: they are a few hundred bytes.
"""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.graph import Value

NUMBER_BYTES = 4
FLOATS = ("float32", "float16")
FUNCTIONS = ("erf", "tanh", "exp", "gelu", "gelu_tanh", "nn.softmax")


@dataclass(frozen=True, order=True)
class Work:
    """One kernel.

    Attributes:
        kind: the schedule's: linear, linear_int8, attention, batch_matmul, elementwise, …
        flops: 2 x multiply-accumulates.
        functions: values of exp, erf or tanh to compute.
        weight_bytes: constants that it reads; of a table of embeddings, the rows that tokens pick.
        activation_bytes: what it reads and writes besides.
    """

    kind: str
    flops: int = 0
    functions: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0


def work_of(block: "Value", kind: str) -> Work:
    """A block's, which has a kernel of that kind."""
    from compiler.counts import flops

    operands = dict.fromkeys(block.inputs)
    constants = [operand for operand in operands if operand.is_constant and operand.shape]  # a number is written into the code
    read = sum(operand.bytes for operand in operands if not operand.is_constant and operand.dtype in FLOATS)
    weights = sum(_read_of(constant, block) for constant in constants)
    written = block.bytes
    if kind == "linear_int8":
        matrix = block.inputs[1].bytes
        weights -= matrix - matrix // NUMBER_BYTES  # its scales are as few as its biases
        read -= block.inputs[0].bytes - block.inputs[0].bytes // NUMBER_BYTES
    elif kind == "linear_fp16":
        weights -= block.inputs[1].bytes // 2
    elif kind == "quantize":
        written //= NUMBER_BYTES
    return Work(kind, flops(block), _functions(block), weights, read + written)


def _read_of(constant: "Value", block: "Value") -> int:
    """Bytes of a constant that a block needs: of a table, a row for each token."""
    if len(constant.shape) == 2 and block.operator in ("embedding", "gather"):
        return block.shape[-2] * constant.shape[-1] * NUMBER_BYTES
    return constant.bytes


def _functions(block: "Value") -> int:
    if block.operator == "attention":
        return block["heads"] * block.shape[-2] ** 2
    if block.attributes.get("activation") in FUNCTIONS or block.operator in FUNCTIONS:
        return prod(block.shape)
    return 0
