"""Composite operators become the primitive ones that they are made of: the program as it is where nothing is fused."""

from compiler.graph import Graph, Value
from compiler.passes.record_members import ATTENTION
from compiler.primitives import swaps_heads, written_out


def write_out(graph: Graph) -> Graph:
    """Transposes that undo what attention's Relax form asks for are gone, as are those that made it."""
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        result = written_out(value)
        if result is value:
            continue
        rewrites[value] = result
        if value.operator in ATTENTION:
            swapped_back = [reader for reader in readers.get(value, []) if swaps_heads(reader)]
            rewrites |= dict.fromkeys(swapped_back, result.inputs[0])
    return graph.substitute(rewrites)
