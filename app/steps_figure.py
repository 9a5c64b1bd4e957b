"""Reward and accuracy of a search, trial by trial. Pure: trials in, a figure out."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app import theme, wording
from app.figures import CROWD, look_of, margin, marker, score_range
from app.summary import best_so_far
from data.records import Trial

HEIGHT_PX = 420
LOOKS = (theme.TRAINED, theme.OVER_LIMIT, theme.CANCELLED, theme.FAILED, theme.ACTIVE)


def steps_figure(trials: Sequence[Trial], metric: str, *, dark: bool = False) -> go.Figure:
    """Above each trial's reward, as the strategy was told it; below its accuracy, with the best so far as a step line.

    Args:
        trials: all trials of a run; those without a reward, or an accuracy, are left out of that half.
        metric: the task's main metric, in [0, 1].
        dark: draw for a dark background.
    """
    ink = theme.ink(dark)
    figure = go.Figure()
    crowded = len(trials) > CROWD
    for look in LOOKS:
        members = [trial for trial in trials if look_of(trial) is look]
        for half, axis in (("reward", "y"), ("accuracy", "y2")):
            having = [trial for trial in members if getattr(trial, half) is not None]
            if having:
                figure.add_scatter(
                    x=[trial.trial for trial in having],
                    y=[getattr(trial, half) for trial in having],
                    yaxis=axis,
                    mode="markers",
                    marker=marker(look.symbol, look, 5 if crowded else 9, ink, crowded=crowded),
                    name=look.label,
                    legendgroup=look.label,
                    showlegend=not any(trace.name == look.label for trace in figure.data),
                    customdata=[
                        [trial.trial, trial.architecture, wording.latency(trial.latency_ms), trial.reason or look.label]
                        for trial in having
                    ],
                    hovertemplate=f"<b>Trial %{{customdata[0]}}</b> · %{{customdata[1]}}<br>{half} %{{y:.3f}}, %{{customdata[2]}}"
                    "<br>%{customdata[3]}<extra></extra>",
                )
    best = best_so_far(trials)
    if best:
        figure.add_scatter(
            x=[number for number, _ in best],
            y=[score for _, score in best],
            yaxis="y2",
            mode="lines",
            line={"shape": "hv", "color": ink.line, "width": 2},
            name="best so far",
            hoverinfo="skip",
        )
    else:
        figure.add_scatter(x=[None], y=[None], hoverinfo="skip", showlegend=False)
    grid = {"gridcolor": ink.grid, "zeroline": False, "automargin": False}
    last = max((trial.trial for trial in trials), default=1)
    figure.update_layout(
        height=HEIGHT_PX,
        margin=margin(52),
        font={"color": ink.text},
        dragmode="pan",
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={
            "title": {"text": "Trial"}, "anchor": "y2", "range": [0.4, last + 0.6], "tickformat": "d", "dtick": 1 if last <= 12 else None, **grid,
        },
        yaxis={"title": {"text": "Reward"}, "domain": [0.56, 1], **grid},
        yaxis2={"title": {"text": "Accuracy" if metric == "accuracy" else f"Accuracy ({metric})"}, "domain": [0, 0.44], "range": score_range(trials), **grid},
    )  # fmt: skip
    return figure
