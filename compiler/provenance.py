"""What fusion did: of every block its members, law or pattern, bytes and FLOPs; of the program CANAO's counts before and after."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from compiler.counts import flops, layers
from compiler.fusion import LAWS
from compiler.graph import Graph, Member, Value
from compiler.passes.record_members import record_members

BYTES_PER_MB = 1e6


def describe(blocks: Sequence[Value]) -> list[dict[str, Any]]:
    """Provenance of every block, in order. Bytes are of the tensors written, FLOPs 2 x multiply-accumulates: by a block's members
    one by one, and by the block. What several blocks compute, as a mask that each looks up, counts before at the first of them."""
    names = _names(blocks)
    described = []
    counted: set[Member] = set()
    for name, block in zip(names, blocks, strict=True):
        new = [member for member in block.members if member not in counted]
        counted.update(new)
        laws = [law for law in block.laws if law.split(":")[0] in LAWS]
        described.append(
            {
                "name": name,
                "members": [member.operator for member in block.members],
                "rule": "; ".join(law for law in block.laws if law not in laws),
                "law": "; ".join(laws),
                "bytes_before": sum(member.bytes for member in new),
                "bytes_after": block.bytes,
                "flops_before": sum(member.flops for member in new),
                "flops_after": flops(block),
            }
        )
    return described


def summarize(imported: Graph, blocks: Sequence[Value]) -> dict[str, Any]:
    """The fields of `pocketformer fuse`. Layers and intermediate results before are counted as CANAO's Table 1 does, with
    composite operators written out; cancelled ones are those that no kernel computes any more. Both graphs are there too:
    `graph` has the operators before fusion, each after those it reads, and each block's `inputs` are the places of those that it reads."""
    program = [member for value in record_members(imported).values() for member in value.members]
    before = layers(program)
    described = [{**each, "inputs": read} for each, read in zip(describe(blocks), _reads(blocks), strict=True)]
    kept = layers(member for block in blocks for member in block.members).total
    return {
        "layers_before": {
            "compute_intensive": before.compute_intensive,
            "memory_intensive": before.memory_intensive,
            "total": before.total,
        },
        "operators_before": dict(Counter(member.operator for member in program).most_common()),
        "layers_cancelled": before.total - kept,
        "kernels_after": len(blocks),
        "ir_mb_before": before.bytes / BYTES_PER_MB,
        "ir_mb_after": sum(block.bytes for block in blocks) / BYTES_PER_MB,
        "flops_before": sum(member.flops for member in program),
        "flops_after": sum(flops(block) for block in blocks),
        "blocks": described,
        "graph": operators_of(blocks),
    }


def operators_of(blocks: Sequence[Value]) -> list[dict[str, Any]]:
    """The operators that blocks stand for, and those between them that were cancelled: `operator`, `bytes` that it writes, `flops`,
    `inputs` (places in this list; none of constants) and `blocks` (places in `blocks`; several where each computes it, none where
    it is cancelled)."""
    order: dict[Member, int] = {}
    for block in blocks:
        for member in block.members:
            _place(member, order)
    computed_in: dict[Member, list[int]] = {member: [] for member in order}
    for number, block in enumerate(blocks):
        for member in dict.fromkeys(block.members):
            computed_in[member].append(number)
    return [
        {
            "operator": member.operator,
            "bytes": member.bytes,
            "flops": member.flops,
            "inputs": [order[source] for source in member.inputs],
            "blocks": computed_in[member],
        }
        for member in order
    ]


def _place(member: Member, order: dict[Member, int]) -> None:
    """Number a member after all that it reads."""
    stack = [(member, False)]
    while stack:
        each, entered = stack.pop()
        if entered:
            order.setdefault(each, len(order))
        elif each not in order:
            stack.append((each, True))
            stack.extend((source, False) for source in reversed(each.inputs))


def _reads(blocks: Sequence[Value]) -> list[list[int]]:
    """Of each block the places of the blocks that it reads; the program's inputs and constants are left out."""
    places = {block: number for number, block in enumerate(blocks)}
    return [[places[operand] for operand in dict.fromkeys(block.inputs) if operand in places] for block in blocks]


def _names(blocks: Sequence[Value]) -> list[str]:
    """A fused block's place in its layer, `layer3.ffn_up`; an operator that is alone is numbered, `softmax3`."""
    numbers: Counter[str] = Counter()
    layer = 0
    names = []
    for block in blocks:
        role = _role(block)
        if role == "":
            value = block["program"].output if block.operator == "readout" else block
            alone = "matmul" if value.operator == "linear" else value.operator.removeprefix("nn.")
            numbers[alone] += 1
            names.append(f"{alone}{numbers[alone]}")
            continue
        layer += role == "qkv"
        names.append(f"layer{layer}.{role}" if layer and role != "readout" else role)
    return names


def _role(block: Value) -> str:
    """What a fused block is in an encoder; empty for an operator that is alone."""
    if block.operator in ("embedding", "attention"):
        return block.operator
    if block.operator == "readout":
        return "readout" if len(_computing(block["program"])) > 1 else ""
    if block.operator != "linear" or not block.laws:
        return ""
    if any(law.startswith("distributive: x Wq") for law in block.laws):
        return "qkv"
    if block.attributes.get("activation"):
        return "ffn_up"
    if "epsilon" not in block.attributes:
        return "projection"
    source = block.inputs[0].inputs[0] if block.inputs[0].operator in ("quantize", "half") else block.inputs[0]
    return "attention_output" if source.operator == "attention" else "ffn_down"


def _computing(program: Graph) -> list[Value]:
    return [value for value in program.values() if value.inputs and value.operator not in ("reshape", "take")]
