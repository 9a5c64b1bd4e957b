"""Many-to-many: everything after the last hidden states (pooling, dense layers, the task's head) is one `readout` block.

It works on vectors, one a sentence, too small to share among cores: one task runs its little program from end to end.
"""

from math import prod

from compiler.graph import INPUT, Graph, Value, fuse

LAW = "many-to-many: pooling and head in one pass"
VECTOR_OPERATORS = {
    "token_sum", "token", "token_table", "linear", "reshape", "concat", "add", "subtract", "multiply", "divide", "abs",
    "tanh", "nn.relu", "nn.gelu", "nn.gelu_tanh", "erf", "sqrt", "clip", "take", "sum", "broadcast_to", "maximum", "minimum",
}  # fmt: skip


def readout(graph: Graph) -> Graph:
    inside = {value for value in graph.values() if is_vector(value)}
    if graph.output not in inside:
        return graph
    region = _connected(graph.output, inside)
    return graph.substitute({graph.output: block(graph, region, graph.output, LAW if len(region) > 1 else "")})


def block(graph: Graph, region: set[Value], output: Value, law: str = "") -> Value:
    """The program inside keeps to graph form, its inputs named by position: hidden states, mask, segments, then weights."""
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
    program = Graph((), output).substitute(stand_ins)
    program = Graph(tuple(stand_ins.values()), program.output)
    return fuse("readout", outer, order, output, law, program=program)


def is_vector(value: Value) -> bool:
    """A value of one row, or the table of weights that makes one."""
    one_row = all(size == 1 for size in value.shape[:-1])
    return value.operator in VECTOR_OPERATORS and (one_row or value.operator == "token_table")


def _inline(operand: Value, reader: Value) -> bool:
    """Whether an operand is a number written into the code, not a weight."""
    return operand.is_constant and prod(operand.shape) == 1 and reader.operator != "linear"


def _connected(output: Value, inside: set[Value]) -> set[Value]:
    region: set[Value] = set()
    pending = [output]
    while pending:
        value = pending.pop()
        if value in inside and value not in region:
            region.add(value)
            pending.extend(value.inputs)
    return region
