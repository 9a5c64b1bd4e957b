"""No fusion, but the layout that schedules have: a program with convolutions works on (1, S, C) throughout.

SqueezeBERT's is (1, C, S), and would be transposed before and after each of its convolutions. Other programs stay as they are.
"""

from compiler.graph import Graph
from compiler.passes.cancel_reshapes import cancel_reshapes
from compiler.passes.move_transposes import move_transposes
from compiler.passes.pointwise_convolution import pointwise_convolution


def channels_last(graph: Graph) -> Graph:
    if all(value.operator != "nn.conv1d" for value in graph.values()):
        return graph
    return cancel_reshapes(move_transposes(pointwise_convolution(graph)))
