"""A fusion report by layer: blocks in groups, and groups that are alike counted instead of repeated. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Report = Mapping[str, Any]  # what `pocketformer fuse --json` prints
_LAYER = re.compile(r"layer(\d+)\.(.+)")


@dataclass(frozen=True)
class Group:
    """Blocks that are drawn, opened and closed together: a layer, or what stands before or after the layers.

    Attributes:
        key: of the URL: `layer1`, `embeddings`, `readout`, `blocks2`.
        blocks: places in the report's `blocks`, of the first of those that are alike.
        repeats: how many are alike, one after the other.
        kernels, layers, bytes_before, bytes_after: of one of them; `layers` of computation before fusion.
    """

    key: str
    title: str
    blocks: tuple[int, ...]
    repeats: int
    kernels: int
    layers: int
    bytes_before: int
    bytes_after: int


def groups_of(report: Report) -> list[Group]:
    """In the order of the program."""
    blocks = report["blocks"]
    runs: list[tuple[str, list[int]]] = []
    for place, block in enumerate(blocks):
        match = _LAYER.fullmatch(block["name"])
        key = f"layer{match[1]}" if match else ""
        if runs and runs[-1][0] == key:
            runs[-1][1].append(place)
        else:
            runs.append((key, [place]))
    made: list[Group] = []
    alike: list[tuple[Any, ...]] = []
    number = 0
    for key, places in runs:
        shape = tuple(_shape(blocks[place]) for place in places)
        if key and alike and alike[-1] == shape and made[-1].key.startswith("layer"):
            made[-1] = _grown(made[-1], key)
            continue
        number += not key
        made.append(_group(key, places, blocks, number))
        alike.append(shape)
    return made


def short_name(block: Mapping[str, Any]) -> str:
    """A block's name within its layer, as people say it: `attention output`."""
    match = _LAYER.fullmatch(block["name"])
    name = match[2] if match else block["name"]
    return {"qkv": "Q, K, V", "ffn_up": "FFN up", "ffn_down": "FFN down"}.get(name, name.replace("_", " "))


def reasons(block: Mapping[str, Any]) -> list[str]:
    """Why a block's members are one: kinds of laws first, then of access patterns, each once."""
    laws = [f"law: {law.split(':')[0]}" for law in block["law"].split("; ") if law]
    rules = [f"pattern: {rule.split(':')[0]}" for rule in block["rule"].split("; ") if rule]
    return list(dict.fromkeys([*laws, *rules]))


def _group(key: str, places: Sequence[int], blocks: Sequence[Mapping[str, Any]], number: int) -> Group:
    names = [blocks[place]["name"] for place in places]
    if key:
        title = f"Layer {key.removeprefix('layer')}"
    elif names[0] == "embedding":
        key, title = "embeddings", "Embeddings"
    elif names[-1] == "readout":
        key, title = "readout", "Pooling and head"
    else:
        key, title = f"blocks{number}", "Single operators"
    within = [blocks[place] for place in places]
    return Group(
        key,
        title,
        tuple(places),
        repeats=1,
        kernels=len(places),
        layers=sum(len(block["members"]) for block in within),
        bytes_before=sum(block["bytes_before"] for block in within),
        bytes_after=sum(block["bytes_after"] for block in within),
    )


def _grown(group: Group, key: str) -> Group:
    first = group.key.removeprefix("layer")
    return Group(
        group.key,
        f"Layers {first} to {key.removeprefix('layer')}, alike",
        group.blocks,
        group.repeats + 1,
        group.kernels,
        group.layers,
        group.bytes_before,
        group.bytes_after,
    )


def _shape(block: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two blocks of two layers alike. Bytes before are left out: what several layers compute counts at the first alone."""
    match = _LAYER.fullmatch(block["name"])
    return (match[2] if match else block["name"], *block["members"], block["bytes_after"], block["flops_after"])
