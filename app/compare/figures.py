"""Figures that put a few architectures side by side. Pure: rows in, Plotly figures out."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app import theme, wording
from app.figures import range_of
from engine.prediction.many import KernelTime

COLORS = (theme.BLUE, theme.VERMILLION, theme.GREEN, theme.ORANGE, theme.PURPLE, theme.SKY)
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "pentagon", "hexagon")
KINDS = {  # kind of kernel: (what people call it, colour)
    "linear": ("Matmul", theme.BLUE),
    "linear_fp16": ("Matmul, fp16", theme.BLUE),
    "linear_int8": ("Matmul, int8", theme.BLUE),
    "attention": ("Attention", theme.ORANGE),
    "attention_fp16": ("Attention, fp16", theme.ORANGE),
    "embedding": ("Embedding", theme.GREEN),
    "readout": ("Readout", theme.PURPLE),
    "quantize": ("To 8 bits", theme.SKY),
    "half": ("To 16 bits", theme.SKY),
}


@dataclass(frozen=True)
class Latency:
    """One latency of one model on one device, milliseconds; `low_ms` and `high_ms` None where no interval is known."""

    model: str
    device: str
    source: str
    latency_ms: float
    low_ms: float | None
    high_ms: float | None
    note: str


@dataclass(frozen=True)
class Score:
    """One model's mean accuracy on one task; `deviation` over trials, None of one. `stage`: early or final."""

    model: str
    task: str
    stage: str
    accuracy: float
    deviation: float | None
    trials: int


def latency_figure(rows: Sequence[Latency], models: Sequence[str], *, dark: bool = False) -> go.Figure:
    """A row for each device and model: filled marks are measured, open ones predicted, crossed ones published; bars are intervals."""
    ink, figure = theme.ink(dark), go.Figure()
    devices = list(dict.fromkeys(row.device for row in rows))[::-1]
    places = {
        (device, model): place + (0.5 - (index + 0.5) / len(models)) * 0.8
        for place, device in enumerate(devices)
        for index, model in enumerate(models)
    }
    for index, model in enumerate(models):
        mine = [row for row in rows if row.model == model]
        if not mine:
            continue
        symbol = SYMBOLS[index]
        shapes = {
            "measured": symbol,
            "predicted": f"{symbol}-open",
            "published": f"{symbol}-x-open" if symbol in CROSSED else f"{symbol}-open-dot",
        }
        figure.add_scatter(
            x=[row.latency_ms for row in mine], y=[places[row.device, model] for row in mine], mode="markers", name=model,
            error_x={
                "type": "data", "symmetric": False, "color": COLORS[index], "thickness": 1.4, "width": 4,
                "array": [(row.high_ms or row.latency_ms) - row.latency_ms for row in mine],
                "arrayminus": [row.latency_ms - (row.low_ms or row.latency_ms) for row in mine],
            },
            marker={"symbol": [shapes[row.source] for row in mine], "size": 11, "color": COLORS[index], "line": {"width": 1.6, "color": COLORS[index]}},
            customdata=[[row.device, row.source, wording.latency(row.latency_ms), wording.spread(row.low_ms, row.high_ms) or "no interval", row.note] for row in mine],
            hovertemplate=f"<b>{model}</b> on %{{customdata[0]}}<br>%{{customdata[2]}}, %{{customdata[1]}} (%{{customdata[3]}})<br>%{{customdata[4]}}<extra></extra>",
        )  # fmt: skip
    _frame(figure, ink, "Latency (ms), log scale", 150 + 30 * len(models) * max(len(devices), 1) // 2 + 30 * len(devices))
    figure.update_xaxes(type="log", dtick="D2")
    figure.update_yaxes(tickvals=list(range(len(devices))), ticktext=devices, range=[-0.6, len(devices) - 0.4], showgrid=False)
    for place in range(1, len(devices)):
        figure.add_shape(
            type="line", xref="paper", x0=0, x1=1, y0=place - 0.5, y1=place - 0.5, line={"color": ink.grid, "width": 1}
        )
    return figure


CROSSED = ("circle", "diamond", "square")


def score_figure(rows: Sequence[Score], models: Sequence[str], *, dark: bool = False) -> go.Figure:
    """Mean accuracy by task, with the deviation over trials; final scores filled, early-stage ones open."""
    ink, figure = theme.ink(dark), go.Figure()
    tasks = list(dict.fromkeys(row.task for row in rows))
    for index, model in enumerate(models):
        mine = [row for row in rows if row.model == model]
        if not mine:
            continue
        offset = (index + 0.5) / len(models) * 0.7 - 0.35
        figure.add_scatter(
            x=[tasks.index(row.task) + offset for row in mine], y=[row.accuracy for row in mine], mode="markers", name=model,
            error_y={"type": "data", "array": [row.deviation or 0 for row in mine], "color": COLORS[index], "thickness": 1.4, "width": 4},
            marker={
                "symbol": [SYMBOLS[index] if row.stage == "final" else f"{SYMBOLS[index]}-open" for row in mine], "size": 11,
                "color": COLORS[index], "line": {"width": 1.6, "color": COLORS[index]},
            },
            customdata=[[row.task, row.stage, wording.plural(row.trials, "trial"), f"± {row.deviation:.3f}" if row.deviation is not None else "no deviation"] for row in mine],
            hovertemplate=f"<b>{model}</b>, %{{customdata[0]}}<br>%{{customdata[1]}} %{{y:.3f}} (%{{customdata[3]}}, %{{customdata[2]}})<extra></extra>",
        )  # fmt: skip
    _frame(figure, ink, "Task", 330)
    figure.update_layout(showlegend=True)
    figure.update_xaxes(tickvals=list(range(len(tasks))), ticktext=tasks, range=[-0.6, len(tasks) - 0.4], showgrid=False)
    ends = [row.accuracy + sign * (row.deviation or 0) for row in rows for sign in (-1, 1)]
    figure.update_yaxes(title="Accuracy (the task's metric)", range=range_of(ends))
    return figure


def kernels_figure(times: Sequence[tuple[str, Sequence[KernelTime]]], *, dark: bool = False) -> go.Figure:
    """Where an inference's time goes: a bar for each model, stacked by kind of kernel."""
    ink, figure = theme.ink(dark), go.Figure()
    names = [name for name, _ in times][::-1]
    kinds = list(dict.fromkeys(each.kind for _, rows in times for each in rows))
    known: set[str] = set()
    for kind in kinds:
        label, color = KINDS.get(kind, (kind.replace("_", " ").capitalize(), theme.GREY))
        found = {name: next((each for each in rows if each.kind == kind), None) for name, rows in times}
        figure.add_bar(
            y=names, x=[each.ms if (each := found[name]) else None for name in names], orientation="h", name=label, showlegend=label not in known,
            marker={"color": color, "line": {"width": 1, "color": ink.paper}},
            customdata=[each.calls if (each := found[name]) else 0 for name in names],
            hovertemplate=f"%{{y}}<br>{label}: %{{x:.2f}} ms in %{{customdata}} calls<extra></extra>",
        )  # fmt: skip
        known.add(label)
    _frame(figure, ink, "Time of an inference (ms)", 130 + 42 * len(names))
    figure.update_layout(barmode="stack")
    figure.update_yaxes(showgrid=False)
    return figure


def _frame(figure: go.Figure, ink: theme.Ink, x: str, height_px: int) -> None:
    grid = {"gridcolor": ink.grid, "zeroline": False, "automargin": True}
    figure.update_layout(
        height=height_px, margin={"l": 8, "r": 12, "t": 48, "b": 8}, font={"color": ink.text}, hovermode="closest", dragmode=False,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title_text": "", "traceorder": "normal"},
        xaxis={"title": {"text": x}, **grid}, yaxis=grid,
    )  # fmt: skip
