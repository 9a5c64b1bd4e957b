"""Many-to-one: everything after the last hidden states (pooling, dense layers, the task's head) is one `readout` block.

It works on vectors, one a sentence, too small to share among cores: one task runs its little program from end to end.
"""

from compiler.graph import INPUT, Graph, Value, fuse

LAW = "many-to-one: pooling and head in one pass"
VECTOR_OPERATORS = {
    "token_sum", "token", "token_table", "linear", "reshape", "concat", "add", "subtract", "multiply", "divide", "abs",
    "tanh", "nn.relu", "nn.gelu", "nn.gelu_tanh", "clip", "take", "sum", "broadcast_to", "maximum", "minimum",
}  # fmt: skip


def readout(graph: Graph) -> Graph:
    """The program inside keeps to graph form, its inputs named by position: hidden states, mask, segments, then weights."""
    inside = {value for value in graph.values() if _is_vector(value)}
    if graph.output not in inside:
        return graph
    region = _connected(graph.output, inside)
    order = [value for value in graph.values() if value in region]
    outer: list[Value] = []
    for value in order:
        outer.extend(
            operand
            for operand in value.inputs
            if operand not in region and operand not in outer and not _inline(operand, value)
        )
    stand_ins = {
        operand: Value(INPUT, (), operand.shape, operand.dtype, name=f"operand{index}") for index, operand in enumerate(outer)
    }
    program = Graph((), graph.output).substitute(stand_ins)
    program = Graph(tuple(stand_ins.values()), program.output)
    law = LAW if len(order) > 1 else ""
    return graph.substitute({graph.output: fuse("readout", outer, order, graph.output, law, program=program)})


def _inline(operand: Value, reader: Value) -> bool:
    """Whether an operand is a number written into the code, not a weight."""
    return operand.is_constant and operand.bytes <= 8 and reader.operator != "linear"


def _is_vector(value: Value) -> bool:
    """A value of one row, or the table of weights that makes one."""
    one_row = all(size == 1 for size in value.shape[:-1])
    return value.operator in VECTOR_OPERATORS and (one_row or value.operator == "token_table")


def _connected(output: Value, inside: set[Value]) -> set[Value]:
    region: set[Value] = set()
    pending = [output]
    while pending:
        value = pending.pop()
        if value in inside and value not in region:
            region.add(value)
            pending.extend(value.inputs)
    return region
