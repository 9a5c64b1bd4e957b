"""What a fusion report adds up to, in the columns of CANAO's Tables 1 and 4, and a figure of bytes by kind of block. Pure."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from app import theme, wording
from app.fusion.groups import Report, short_name
from data.errors import UsageError
from engine.architecture import Architecture
from engine.prediction.kernels import derivable
from engine.prediction.machine import GPU
from engine.prediction.predict import Prediction, predict
from engine.prediction.published import published_for

HEIGHT_PX = 320
FUSED, UNFUSED = "lp", "none"


def counts(report: Report) -> list[dict[str, Any]]:
    """Table 1's columns as rows, before and after; what is left after fusion are kernels of both kinds."""
    layers = report["layers_before"]
    return [
        {"": name, "Before fusion": before, "After LP-Fusion": after}
        for name, before, after in (
            ("Compute-intensive layers", layers["compute_intensive"], None),
            ("Memory-intensive layers", layers["memory_intensive"], None),
            ("Layers in all, then kernels", layers["total"], report["kernels_after"]),
            ("Intermediate results (MB)", round(report["ir_mb_before"], 1), round(report["ir_mb_after"], 1)),
            ("GFLOPs", round(report["flops_before"] / 1e9, 2), round(report["flops_after"] / 1e9, 2)),
        )
    ]


def latencies(report: Report, architecture: Architecture | None, devices: tuple[str, ...]) -> list[dict[str, Any]]:
    """Table 4's columns: a row for each pair of latencies that is known, with its source."""
    rows = []
    if measured := report.get("measured"):
        where = f"this machine, {measured['threads']} threads"
        rows.append(_row(where, "measured here, in turns", measured[UNFUSED]["median"], measured[FUSED]["median"], ""))
    if architecture is None:
        return rows
    seq_len = report["seq_len"]
    for device in devices:
        for target in (None, GPU):
            try:
                pair = {
                    fusion: predict(architecture, device, fusion=fusion, seq_len=seq_len, target=target)
                    for fusion in (UNFUSED, FUSED)
                    if derivable(architecture, fusion, "fp32")
                }
            except UsageError:
                continue  # a device without that processor
            if len(pair) == 2:
                rows.append(_predicted(device, target, pair))
    for device in devices:
        found = {
            (each.target, each.source, each.engine, each.fusion): each for each in published_for(device, architecture, seq_len)
        }
        for (target, source, engine, fusion), each in found.items():
            other = found.get((target, source, engine, FUSED))
            if fusion == UNFUSED and other is not None:
                rows.append(
                    _row(f"{device}, {_PROCESSORS[target]}", f"published: {source}", each.latency_ms, other.latency_ms, "")
                )
    return rows


_PROCESSORS = {"big": "fast cores", "little": "slow cores", "all": "all cores", "gpu": "GPU", "npu": "NPU"}


def _predicted(device: str, target: str | None, pair: Mapping[str, Prediction]) -> dict[str, Any]:
    fused = pair[FUSED]
    where = f"{device}, {_PROCESSORS[fused.target]}" + ("" if target == GPU else f", {fused.threads} threads")
    return _row(where, "predicted", pair[UNFUSED].latency_ms, fused.latency_ms, wording.spread(fused.low_ms, fused.high_ms))


def _row(where: str, source: str, before_ms: float, after_ms: float, interval: str) -> dict[str, Any]:
    return {
        "Device": where,
        "Source": source,
        "Unfused (ms)": before_ms,
        "Fused (ms)": after_ms,
        "Times as fast": before_ms / after_ms,
        "Saved (ms)": before_ms - after_ms,
        "90 % interval, fused": interval or None,
    }


def bytes_figure(report: Report, *, dark: bool = False) -> go.Figure:
    """Intermediate results by kind of block, summed over the layers, before and after."""
    ink = theme.ink(dark)
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    for block in report["blocks"]:
        name = short_name(block)
        before[name] = before.get(name, 0.0) + block["bytes_before"] / 1e6
        after[name] = after.get(name, 0.0) + block["bytes_after"] / 1e6
    figure = go.Figure()
    for name, values, color, symbol in (
        ("Before fusion", before, theme.VERMILLION, "/"),
        ("After LP-Fusion", after, theme.BLUE, ""),
    ):
        figure.add_bar(
            x=list(values),
            y=list(values.values()),
            name=name,
            marker={"color": color, "pattern": {"shape": symbol}},
            hovertemplate="%{x}<br>%{y:.2f} MB<extra>" + name + "</extra>",
        )
    figure.update_layout(
        height=HEIGHT_PX,
        margin={"l": 8, "r": 8, "t": 40, "b": 8},
        barmode="group",
        font={"color": ink.text},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title_text": ""},
        xaxis={"automargin": True, "tickfont": {"size": 12}},
        yaxis={
            "title": {"text": "Intermediate results (MB)"},
            "gridcolor": ink.grid,
            "automargin": True,
            "rangemode": "tozero",
        },
    )
    return figure
