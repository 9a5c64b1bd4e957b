"""What a program costs, by CANAO's measures (Table 1): layers of computation, intermediate results, FLOPs."""

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

from compiler.graph import Member, Value

# CANAO Table 1: "each data in the inputs of layer are used more than once". With softmax among them, whose every input is in
# the sum and in a quotient, its four counts come out: 9 a BERT layer, 18 a MobileBERT layer, and what stands around the layers.
COMPUTE_INTENSIVE = {"matmul", "nn.conv1d", "nn.conv2d", "nn.softmax"}


class Layers(NamedTuple):
    """Layers of computation, and the bytes of all that they write."""

    compute_intensive: int
    memory_intensive: int
    bytes: int

    @property
    def total(self) -> int:
        return self.compute_intensive + self.memory_intensive


def layers(members: Iterable[Member]) -> Layers:
    """CANAO Table 1's columns for operators of a program; one that several blocks compute counts once."""
    counted = list(dict.fromkeys(members))
    intensive = sum(member.operator in COMPUTE_INTENSIVE for member in counted)
    return Layers(intensive, len(counted) - intensive, sum(member.bytes for member in counted))


def flops(value: Value) -> int:
    """2 x multiply-accumulates of matmuls and convolutions, an operator's or a block's; 0 for all others."""
    shapes = [operand.shape for operand in value.inputs]
    match value.operator:
        case "matmul":
            return 2 * prod(value.shape) * shapes[0][-1]
        case "linear":
            return 2 * prod(value.shape) * shapes[1][0]
        case "nn.conv1d" | "nn.conv2d":  # weights (outputs, inputs of a group, kernel)
            return 2 * prod(value.shape) * prod(shapes[1][1:])
        case "nn.attention" | "nn.attention_bias":  # (B, S, A, D)
            return 4 * prod(value.shape) * shapes[1][1]
        case "attention":  # (.., S, H), keys as many as queries
            return 4 * prod(value.shape) * value.shape[-2]
        case "token_sum":
            return 2 * prod(shapes[0])
        case "readout":
            return sum(flops(item) for item in value["program"].values())
    return 0


def member_of(value: Value, inputs: Iterable[Member] = ()) -> Member:
    """The record that a block keeps of an operator.

    Args:
        inputs: the records of those that it reads.
    """
    return Member(value.operator, value.bytes, flops(value), tuple(dict.fromkeys(inputs)))
