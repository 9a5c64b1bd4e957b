"""Latencies that others have published, on the catalogue's devices: shown beside predictions with their source, fitted to by none.

`published.csv` has the figures. Where a paper does not give a model's sizes, they are assumed so that its FLOPs are the paper's.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.architecture import Architecture, architecture_of

TABLE = Path(__file__).with_name("published.csv")


@dataclass(frozen=True)
class Published:
    """One figure, batch 1.

    Attributes:
        target: big, little, all (cores), gpu or npu.
        engine: what ran the model; `fusion` whether its layers were fused: lp, none, or empty where that is not said.
        assumed: the model's sizes are ours.
        seq_len: tokens; None where the source does not say.
    """

    device: str
    target: str
    precision: str
    threads: int | None
    engine: str
    fusion: str
    model: str
    architecture: Architecture
    assumed: bool
    seq_len: int | None
    latency_ms: float
    source: str
    note: str


@cache
def published() -> tuple[Published, ...]:
    """All of the table, in its order."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(_published(row) for row in csv.DictReader(file))


def published_for(device: str, model: Architecture, seq_len: int) -> list[Published]:
    """Those of a model on a device, at that length or one that is not stated."""
    return [
        each for each in published() if each.device == device and each.architecture == model and each.seq_len in (None, seq_len)
    ]


def _published(row: dict[str, str]) -> Published:
    return Published(
        device=row["device"],
        target=row["target"],
        precision=row["precision"],
        threads=int(row["threads"]) if row["threads"] else None,
        engine=row["engine"],
        fusion=row["fusion"],
        model=row["model"],
        architecture=architecture_of(row["architecture"]),
        assumed=row["sizes"] == "assumed",
        seq_len=int(row["seq_len"]) if row["seq_len"] else None,
        latency_ms=float(row["latency_ms"]),
        source=row["source"],
        note=row["note"],
    )
