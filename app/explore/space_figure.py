"""The design space drawn. Pure: architectures with their numbers in, a Plotly figure out."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app import theme, wording
from engine.architecture import Architecture

HEIGHT_PX = 470
DOTS = 2000  # of the sample that are drawn; the front is of all
HOVER = "%{customdata}<br>predicted %{x:.2f} ms<br>%{y:.3f}<extra></extra>"


def space_figure(
    architectures: Sequence[Architecture],
    latency_ms: np.ndarray,
    heights: np.ndarray,
    axis: str,
    chosen: tuple[str, float, tuple[float, float], float, float],
    tried: Sequence[tuple[str, float, float]] = (),
    *,
    front: bool,
    dark: bool = False,
) -> go.Figure:
    """Latency against accuracy, or against FLOPs, of sampled architectures, coloured by their depth.

    Args:
        chosen: the architecture under the sliders: its name, latency, the ends of its interval, height, and half the height's interval.
        tried: architectures with an accuracy: name, predicted latency, mean accuracy.
        front: whether to draw the best height at each latency; of FLOPs there is none.
    """
    ink, figure = theme.ink(dark), go.Figure()
    depths = sorted({each.layers for each in architectures})
    step = max(1, -(-len(architectures) // DOTS))
    shown = list(range(0, len(architectures), step))
    figure.add_scatter(
        x=latency_ms[shown], y=heights[shown], mode="markers", customdata=[str(architectures[index]) for index in shown], name="Sampled",
        marker={
            "size": 5, "opacity": 0.75, "color": [architectures[index].layers for index in shown], "colorscale": "Cividis",
            "colorbar": {"title": {"text": "Layers", "font": {"size": 11}}, "thickness": 9, "len": 0.6, "outlinewidth": 0, "tickvals": depths},
            "line": {"width": 0.4, "color": ink.line},
        },
        hovertemplate=HOVER, selected={"marker": {"opacity": 0.75}}, unselected={"marker": {"opacity": 0.75}},
    )  # fmt: skip
    if front:
        order = np.argsort(latency_ms, kind="stable")
        best = np.maximum.accumulate(heights[order])
        keep = np.concatenate([[True], np.diff(best) > 0])
        figure.add_scatter(
            x=latency_ms[order][keep], y=best[keep], mode="lines", line={"shape": "hv", "color": ink.line, "width": 2}, hoverinfo="skip",
            name="Best of the sample",
        )  # fmt: skip
    if tried:
        figure.add_scatter(
            x=[each[1] for each in tried], y=[each[2] for each in tried], mode="markers", customdata=[each[0] for each in tried],
            name="Tried", marker={"symbol": "circle-open", "size": 9, "color": theme.VERMILLION, "line": {"width": 1.5}},
            hovertemplate="%{customdata}<br>predicted %{x:.2f} ms<br>trial: %{y:.3f}<extra></extra>",
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
        )  # fmt: skip
    name, at_ms, (low_ms, high_ms), height, half = chosen
    bars = {"type": "data", "color": ink.text, "thickness": 1.4, "width": 5}
    figure.add_scatter(
        x=[at_ms], y=[height], mode="markers", name="Under the sliders", customdata=[name],
        error_x={**bars, "symmetric": False, "array": [high_ms - at_ms], "arrayminus": [at_ms - low_ms]},
        error_y={**bars, "array": [half]} if half else None,
        marker={"symbol": "star", "size": 17, "color": theme.GREEN, "line": {"width": 1.2, "color": ink.text}},
        hovertemplate=f"<b>%{{customdata}}</b><br>predicted {wording.latency(at_ms)} (90 %: {wording.spread(low_ms, high_ms)})<extra></extra>",
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
    )  # fmt: skip
    right = 1.05 * max(float(latency_ms.max()), at_ms)  # the interval may reach far beyond: its end is in the numbers
    air = 0.06 * float(np.ptp(heights)) or 0.05
    low, high = float(min(heights.min(), height)) - air, float(max(heights.max(), height)) + air
    grid = {"gridcolor": ink.grid, "zeroline": False, "automargin": True}
    figure.update_layout(
        height=HEIGHT_PX, margin={"l": 8, "r": 8, "t": 56, "b": 8}, font={"color": ink.text}, hovermode="closest", clickmode="event+select",
        dragmode="zoom", legend={"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom", "title_text": ""},
        xaxis={"title": {"text": "Predicted latency (ms)"}, "range": [0, right], **grid},
        yaxis={"title": {"text": axis}, "range": [low, high], **grid},
    )  # fmt: skip
    return figure
