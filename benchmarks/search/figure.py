"""A page that shows how strategies come nearer to the best candidate, evaluation by evaluation, with bands over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from benchmarks.search.simulate import Trace

BAND = (10, 90)  # percentiles over seeds
OPACITY = 0.15  # of bands


def write(path: Path, limits: Sequence[tuple[str, float, Mapping[str, Sequence[Trace]]]]) -> None:
    """`limits`: of each its title, the best accuracy within it, and every strategy's searches."""
    titles = [title for title, _, _ in limits]
    figure = make_subplots(rows=1, cols=len(limits), subplot_titles=titles)
    for column, (_, optimum, found) in enumerate(limits, 1):
        for number, (strategy, traces) in enumerate(found.items()):
            color = qualitative.D3[number % len(qualitative.D3)]
            for line in _lines(strategy, regrets(traces, optimum), color, column == 1):
                figure.add_trace(line, row=1, col=column)
    figure.update_xaxes(title="evaluations")
    figure.update_yaxes(title="regret, points of accuracy", type="log", col=1)
    figure.update_yaxes(type="log", matches="y")
    figure.update_layout(template="plotly_white", legend_title_text=f"mean; band: {BAND[0]} to {BAND[1]} % of seeds")
    figure.write_html(path, include_plotlyjs=True)


def regrets(traces: Sequence[Trace], optimum: float) -> np.ndarray:
    """(seeds, evaluations): points of accuracy, 100 of 1, that the best so far lacks; NaN while nothing is within the limit."""
    best = np.array([[np.nan if each is None else each for each in trace.best] for trace in traces], dtype=float)
    return 100 * (optimum - best)


def _lines(strategy: str, regret: np.ndarray, color: str, named: bool) -> list[go.Scatter]:
    evaluations = np.arange(1, regret.shape[1] + 1)
    shown = ~np.isnan(regret).all(axis=0)
    regret, evaluations = np.maximum(regret[:, shown], 0.01), evaluations[shown]  # a logarithm has no zero
    low, high = np.nanpercentile(regret, BAND, axis=0)
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    band = go.Scatter(
        x=np.concatenate([evaluations, evaluations[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},{OPACITY})",
        line={"width": 0},
        hoverinfo="skip",
        legendgroup=strategy,
        showlegend=False,
    )
    mean = go.Scatter(
        x=evaluations,
        y=np.nanmean(regret, axis=0),
        line={"color": color},
        name=strategy,
        legendgroup=strategy,
        showlegend=named,
    )
    return [band, mean]
