"""How much of a search space is fast enough, before anything is searched: predicted latencies of architectures drawn from it."""

import random
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import source, theme, wording
from data.home import home
from engine.architecture import Architecture
from engine.prediction.many import predict_many
from engine.settings import Settings
from engine.space import SearchSpace

SAMPLES = 1200
LEAST_MEASURED = 5  # latencies on the device, before they correct the prediction
INTERVAL = (5, 95)  # percentiles that hold 90 %
HEIGHT_PX = 190


@dataclass(frozen=True)
class Reach:
    """Sorted milliseconds of sampled architectures as predicted, and at both ends of the 90 % interval; `basis`, one line, says on what."""

    latency_ms: np.ndarray
    low_ms: np.ndarray
    high_ms: np.ndarray
    basis: str

    def share(self, limit_ms: float) -> tuple[float, float, float]:
        """Of the samples within a limit, in [0, 1]: as predicted; if all are as slow, and as fast, as the interval allows."""
        return tuple(  # type: ignore[return-value]
            float(np.searchsorted(each, limit_ms, side="right") / len(each))
            for each in (self.latency_ms, self.high_ms, self.low_ms)
        )


def reach(settings: Settings) -> Reach:
    """Of the settings' space on their device; computed once for each.

    Raises:
        PocketformerError: no such teacher or device here, or sizes that the teacher's students cannot have.
    """
    space = (settings.teacher, settings.depths, settings.hidden_sizes, settings.ffn_sizes)
    return _reach(space, settings.device, settings.threads, settings.precision, settings.seq_len, str(home()))


@st.cache_resource(show_spinner=False, max_entries=32, ttl=120)
def _reach(
    sizes: tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...]],
    device: str, threads: int | None, precision: str, seq_len: int, _folder: str,
) -> Reach:  # fmt: skip
    from engine.teacher import teacher_architecture

    teacher, depths, hidden_sizes, ffn_sizes = sizes
    space = SearchSpace.for_teacher(teacher_architecture(teacher), depths, hidden_sizes, ffn_sizes)
    predictions = predict_many(sample(space), device, threads, precision=precision, seq_len=seq_len)
    low, middle, high = 1 / predictions.factor, 1.0, predictions.factor
    basis = f"predicted; {predictions.basis}"
    ratios = measured_ratios(device, threads, precision, seq_len)
    if len(ratios) >= LEAST_MEASURED:
        low, high = (float(each) for each in np.percentile(ratios, INTERVAL))
        middle = float(np.median(ratios))
        basis = f"predicted, corrected by {len(ratios)} latencies measured on {device}"
    ordered = np.sort(predictions.latency_ms)
    return Reach(ordered * middle, ordered * low, ordered * high, basis)


def sample(space: SearchSpace) -> list[Architecture]:
    """Architectures of a space by chance, evenly over its depths and sizes; the same ones each time."""
    draw = random.Random(0)
    return [space.drawn(draw) for _ in range(SAMPLES)]


def measured_ratios(device: str, threads: int | None, precision: str, seq_len: int) -> np.ndarray:
    """Measured over predicted latency of the architectures measured on a device last, (measurements,)."""
    written = [
        each for each in source.store().measurements(device=device, limit=300)
        if each.source == "measured" and each.precision == precision and each.seq_len == seq_len and threads in (None, each.threads)
    ]  # fmt: skip
    pairs = [(Architecture.parse(each.architecture), each.median_ms) for each in written]
    if not pairs:
        return np.empty(0)
    predicted = predict_many([architecture for architecture, _ in pairs], device, threads, precision=precision, seq_len=seq_len)
    return np.array([latency_ms for _, latency_ms in pairs]) / predicted.latency_ms


def reach_figure(found: Reach, limit_ms: float, *, dark: bool = False) -> go.Figure:
    """Share of the space within a latency, with the interval as a band and the target as a line."""
    ink = theme.ink(dark)
    right = max(2.0 * limit_ms, float(np.quantile(found.latency_ms, 0.9)))
    at = np.linspace(0, right, 160)
    shares = np.array([found.share(each) for each in at])
    figure = go.Figure()
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(x=at, y=shares[:, 1], **band)
    figure.add_scatter(x=at, y=shares[:, 2], fill="tonexty", fillcolor="rgba(86, 180, 233, 0.3)", **band)
    figure.add_scatter(
        x=at, y=shares[:, 0], mode="lines", line={"color": theme.BLUE if not dark else theme.SKY, "width": 2}, showlegend=False,
        hovertemplate="%{y:.0%} of the space within %{x:.2f} ms<extra></extra>",
    )  # fmt: skip
    figure.add_vline(x=limit_ms, line={"color": theme.VERMILLION, "width": 1.5, "dash": "dash"})
    figure.add_annotation(
        text=f"target {wording.target(limit_ms)}",
        x=limit_ms,
        y=1,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        font={"color": ink.text},
    )
    grid = {"gridcolor": ink.grid, "zeroline": False, "automargin": True, "fixedrange": True}
    figure.update_layout(
        height=HEIGHT_PX,
        margin={"l": 8, "r": 12, "t": 24, "b": 8},
        font={"color": ink.text},
        xaxis={"title": {"text": "Latency (ms)"}, "range": [0, right], **grid},
        yaxis={"title": {"text": "Share of space"}, "range": [0, 1.02], "tickformat": ".0%", **grid},
    )
    return figure
