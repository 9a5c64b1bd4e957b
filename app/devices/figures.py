"""The Devices page's figures: predicted against measured, and one architecture on every device. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app import theme, wording

HEIGHT_PX = 440
AIR = 1.25  # of the axes beyond the points, on a logarithmic scale


@dataclass(frozen=True)
class Point:
    """One latency beside its prediction, milliseconds; of a prediction by a fit that has not seen it, `held_out`."""

    name: str
    measured_ms: float
    predicted_ms: float
    kind: str  # a key of LOOKS
    note: str = ""

    @property
    def error(self) -> float:
        """Relative to what was measured."""
        return self.predicted_ms / self.measured_ms - 1


LOOKS = {
    "held out": (theme.BLUE, "circle", "Calibration, held out from the fit"),
    "search": (theme.GREEN, "diamond", "Measured in searches"),
    "published": (theme.VERMILLION, "star", "Published"),
}


def accuracy_figure(points: Sequence[Point], factor: float | None, *, dark: bool = False) -> go.Figure:
    """Predicted against measured, both logarithmic; the diagonal is where they agree.

    Args:
        factor: of the 90 % interval, drawn as a band; None: not known.
    """
    ink = theme.ink(dark)
    figure = go.Figure()
    every = [value for point in points for value in (point.measured_ms, point.predicted_ms)]
    low, high = min(every, default=1.0) / AIR, max(every, default=10.0) * AIR
    if factor:
        figure.add_scatter(
            x=[low, high, high, low],
            y=[low / factor, high / factor, high * factor, low * factor],
            fill="toself",
            mode="none",
            fillcolor="rgba(0, 114, 178, 0.10)",
            name=f"90 % interval: ÷ and × {factor:.2f}",
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": ink.line, "width": 1, "dash": "dash"},
        name="Equal",
        hoverinfo="skip",
    )
    for kind, (color, symbol, label) in LOOKS.items():
        own = [point for point in points if point.kind == kind]
        if own:
            figure.add_scatter(
                x=[point.measured_ms for point in own],
                y=[point.predicted_ms for point in own],
                mode="markers",
                marker={"color": color, "symbol": symbol, "size": 8 if len(own) < 300 else 5, "line": {"width": 0.5, "color": ink.line}},
                name=label,
                customdata=[[point.name, wording.latency(point.measured_ms), wording.latency(point.predicted_ms), f"{point.error:+.0%}", point.note] for point in own],
                hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}, predicted %{customdata[2]} (%{customdata[3]})<br>%{customdata[4]}<extra></extra>",
            )  # fmt: skip
    axis = {"type": "log", "gridcolor": ink.grid, "automargin": True, "minor": {"showgrid": False}}
    figure.update_layout(
        height=HEIGHT_PX,
        margin={"l": 8, "r": 8, "t": 72, "b": 8},
        font={"color": ink.text},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title_text": ""},
        xaxis={"title": {"text": "Measured, or published (ms)"}, **axis},
        yaxis={"title": {"text": "Predicted (ms)"}, **axis},
    )
    return figure


@dataclass(frozen=True)
class Estimate:
    """One device's predicted latency, milliseconds, with its 90 % interval."""

    device: str
    latency_ms: float
    low_ms: float
    high_ms: float
    calibrated: bool


def estimates_figure(estimates: Sequence[Estimate], chosen: str, *, dark: bool = False) -> go.Figure:
    """One architecture on every device, the fastest at the top; filled where predictions are calibrated."""
    ink = theme.ink(dark)
    ordered = sorted(estimates, key=lambda each: -each.latency_ms)
    figure = go.Figure()
    figure.add_scatter(
        x=[each.latency_ms for each in ordered],
        y=[each.device for each in ordered],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [each.high_ms - each.latency_ms for each in ordered],
            "arrayminus": [each.latency_ms - each.low_ms for each in ordered],
            "color": ink.line,
            "thickness": 1.2,
        },
        mode="markers",
        marker={
            "color": [theme.VERMILLION if each.device == chosen else theme.BLUE for each in ordered],
            "symbol": ["circle" if each.calibrated else "circle-open" for each in ordered],
            "size": [13 if each.device == chosen else 9 for each in ordered],
            "line": {"width": 2},
        },
        customdata=[
            [wording.latency(each.latency_ms), wording.spread(each.low_ms, each.high_ms), "calibrated" if each.calibrated else "not calibrated"]
            for each in ordered
        ],
        hovertemplate="<b>%{y}</b><br>%{customdata[0]} predicted, %{customdata[2]}<br>90 % interval: %{customdata[1]}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(
        height=80 + 28 * len(ordered),
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        font={"color": ink.text},
        showlegend=False,
        xaxis={"title": {"text": "Predicted latency (ms)"}, "type": "log", "gridcolor": ink.grid, "automargin": True},
        yaxis={"type": "category", "automargin": True, "gridcolor": ink.grid},
    )
    return figure
