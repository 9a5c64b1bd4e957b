"""Provenance: every value is told which layers of computation it stands for, before anything is fused.

A composite operator stands for the primitive ones that it is made of (`compiler.primitives`), so that fused programs and
unfused ones count alike. Work on constants alone is no layer: it is done at compile time. Nor are casts to the type that a
tensor has already, or the pairs of transposes that the import wraps around attention.
"""

from dataclasses import replace

from compiler.counts import member_of
from compiler.graph import INPUT, Graph, Member, Value
from compiler.primitives import steps, swaps_heads

ATTENTION = ("nn.attention", "nn.attention_bias")


def record_members(graph: Graph) -> Graph:
    computed = computed_values(graph)
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    made_by: dict[Value, tuple[Member, ...]] = {}  # the layers that a value's numbers are from
    for value in graph.values():
        if value.operator == INPUT or value.is_constant:
            continue
        members = []
        if value in computed and not needless(value, readers):
            for step in steps(value):
                members.append(member_of(step, _sources(step, made_by)))
                made_by[step] = (members[-1],)
        if value.operator in ATTENTION and members and _swapped_back(value, readers):
            members.pop()
        made_by[value] = (members[-1],) if members else _sources(value, made_by)
        rewrites[value] = replace(value, members=tuple(members))
    return graph.substitute(rewrites)


def _sources(value: Value, made_by: dict[Value, tuple[Member, ...]]) -> tuple[Member, ...]:
    return tuple(member for operand in value.inputs for member in made_by.get(operand, ()))


def computed_values(graph: Graph) -> set[Value]:
    """Values that depend on an input."""
    computed: set[Value] = set()
    for value in graph.values():
        if value.operator == INPUT or any(operand in computed for operand in value.inputs):
            computed.add(value)
    return computed


def needless(value: Value, readers: dict[Value, list[Value]]) -> bool:
    """Whether a value is there only because of the import's own conventions."""
    if value.operator == "astype":
        return value.dtype == value.inputs[0].dtype
    if not swaps_heads(value):
        return False
    source = value.inputs[0]
    read = readers.get(value, [])
    return (bool(read) and all(reader.operator in ATTENTION for reader in read)) or (
        source.operator in ATTENTION and _swapped_back(source, readers)
    )


def _swapped_back(attention: Value, readers: dict[Value, list[Value]]) -> bool:
    read = readers.get(attention, [])
    return bool(read) and all(swaps_heads(reader) for reader in read)
