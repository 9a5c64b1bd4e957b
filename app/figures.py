"""The Plotly figures. Pure: trials in, a figure out; no Streamlit and no store here.

Every mark of a trial carries the trial's number as the first value of `customdata`, so that a click finds it.
"""

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from app import theme, wording
from app.theme import Ink, Look
from data.explore import Point
from data.records import Trial

HEIGHT_PX = 460
CROWD = 60  # more marks than this of one kind are drawn smaller and without outlines, which cost a browser as much as the marks
CROWD_OPACITY = 0.75
CHARACTER_PX, TICK_PX = 6.5, 12  # of a row's label, and its distance from the axis
MARGIN_LEFT_PX, MARGIN_RIGHT_PX, MARGIN_BELOW_PX = 72, 20, 64  # for an axis with numbers and a title
STRIP_ROW = 0.085  # share of the height that a row of the strip below the main plot takes
STRIP_GAP = 0.035
MARGIN = 0.015  # share of the width that is left of 0 ms, where marks of very fast models need room
LOOKS = (theme.TRAINED, theme.ACTIVE, theme.FAILED, theme.CANCELLED, theme.OVER_LIMIT)  # the first is drawn first
MAIN_HOVER = (
    "<b>Trial %{customdata[0]}</b> · %{customdata[1]}<br>latency %{customdata[2]}, %{customdata[3]}<br>"
    "%{customdata[4]} %{customdata[5]}<br>%{customdata[6]}<extra></extra>"
)
STRIP_HOVER = "<b>Trial %{customdata[0]}</b> · %{customdata[1]}<br>latency %{customdata[2]}, %{customdata[3]}<br>%{customdata[6]}<extra></extra>"


def pareto_figure(
    trials: Sequence[Trial],
    front: Sequence[Trial],
    latency_target_ms: float,
    metric: str,
    *,
    selected: int | None = None,
    dark: bool = False,
    over: bool = False,
) -> go.Figure:
    """Accuracy against latency: what a search has found so far.

    Trials with an accuracy are points with their p10 to p90 latency; the Pareto front is a step line; the target is a vertical
    line. Trials with a latency and no accuracy stand in a strip below, one row for each reason, so that they cost no height
    and claim no accuracy. Trials with neither are not drawn: the table lists them.

    Args:
        trials: all trials of a run, in any state.
        front: the run's Pareto-optimal trials.
        latency_target_ms: the required latency, in milliseconds.
        metric: the task's main metric, in [0, 1]: the vertical axis.
        selected: number of the trial to ring.
        dark: draw for a dark background.
        over: nothing will be added any more; an empty figure then says so.
    """
    ink = theme.ink(dark)
    figure = go.Figure()
    scored = [trial for trial in trials if trial.latency_ms is not None and trial.accuracy is not None]
    strip = [trial for trial in trials if trial.latency_ms is not None and trial.accuracy is None]
    best = {trial.trial for trial in front}
    barred = [trial for group in (scored, strip) for look in LOOKS for trial in _barred(_of_look(group, look), best)]
    high_ms = _right_edge_ms([*scored, *strip], barred, latency_target_ms)
    for look in LOOKS:
        _add_points(figure, _of_look(scored, look), look, metric, best, ink)
    _add_front(figure, front, min(latency_target_ms, high_ms), ink)
    _add_final(figure, [trial for trial in scored if trial.final_accuracy is not None], metric, ink)
    rows = _add_strip(figure, strip, metric)
    _add_ring(figure, next((trial for trial in trials if trial.trial == selected), None), ink)
    _add_target(figure, latency_target_ms, high_ms, ink)
    if not scored:
        _add_nothing(figure, _why_empty(bool(strip), over), ink)
    _lay_out(figure, scored, rows, high_ms, metric, ink)
    return figure


def margin(top_px: int, rows: Sequence[str] = ()) -> dict[str, int]:
    """Room for the axes. Plotly, left to find it out (`automargin`), draws a figure twice.

    Args:
        rows: labels of a category axis beside the numbers.
    """
    left_px = max([MARGIN_LEFT_PX, *(int(CHARACTER_PX * len(row)) + TICK_PX for row in rows)])
    return {"l": left_px, "r": MARGIN_RIGHT_PX, "t": top_px, "b": MARGIN_BELOW_PX}


def look_of(trial: Trial | Point) -> Look:
    """How a trial is drawn and called, from its status."""
    return look_of_status(trial.status)


def look_of_status(status: str) -> Look:
    return {
        "trained": theme.TRAINED,
        "over_limit": theme.OVER_LIMIT,
        "failed": theme.FAILED,
        "cancelled": theme.CANCELLED,
    }.get(status, theme.ACTIVE)


def _add_front(figure: go.Figure, front: Sequence[Trial], end_ms: float, ink: Ink) -> None:
    """The step line: the best accuracy to be had at a latency, drawn on to the target."""
    steps = sorted((trial.latency_ms, trial.accuracy) for trial in front if trial.latency_ms is not None)
    if not steps:
        return
    x, y = [latency_ms for latency_ms, _ in steps], [score for _, score in steps]
    if x[-1] < end_ms:
        x, y = [*x, end_ms], [*y, y[-1]]
    line = {"shape": "hv", "color": ink.line, "width": 2}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, name="Pareto front", hoverinfo="skip")


def _add_points(figure: go.Figure, trials: Sequence[Trial], look: Look, metric: str, front: set[int], ink: Ink) -> None:
    """Scored trials of one look. Where there are many, those behind the front get smaller marks, and no bars: Plotly draws even one of no
    length."""
    barred = _barred(trials, front)
    behind = [trial for trial in trials if trial.trial not in front] if len(trials) > CROWD else []
    for members, small in ((behind, True), (barred, False)):
        if not members:
            continue
        figure.add_scatter(
            x=[trial.latency_ms for trial in members],
            y=[trial.accuracy for trial in members],
            error_x=None if small else _error_bars(members, look.color),
            mode="markers",
            marker=marker(_symbols(members, look), look, 7 if small else 11, ink, crowded=small),
            name=look.label,
            legendgroup=look.label,
            showlegend=members is barred or not barred,
            customdata=_facts(members, metric, "accuracy"),
            hovertemplate=MAIN_HOVER,
            **_undimmed(),
        )


def marker(symbol: str | list[str], look: Look, size_px: int, ink: Ink, *, crowded: bool) -> dict[str, object]:
    """Marks of one look; in a crowd without outlines, so that what lies below is seen."""
    line = {"width": 0 if crowded else 1, "color": ink.line}
    return {"symbol": symbol, "color": look.color, "size": size_px, "opacity": CROWD_OPACITY if crowded else 1, "line": line}


def _of_look(trials: Sequence[Trial], look: Look) -> list[Trial]:
    return [trial for trial in trials if look_of(trial) is look]


def _barred(trials: Sequence[Trial], front: set[int]) -> Sequence[Trial]:
    """Of the trials of one look, those that get bars."""
    return trials if len(trials) <= CROWD else [trial for trial in trials if trial.trial in front]


def _add_final(figure: go.Figure, trials: Sequence[Trial], metric: str, ink: Ink) -> None:
    """Scores after full training, on the development set; tied to the early score of the same trial by a thin line."""
    if not trials:
        return
    ties_x = [value for trial in trials for value in (trial.latency_ms, trial.latency_ms, None)]
    ties_y = [value for trial in trials for value in (trial.accuracy, trial.final_accuracy, None)]
    line = {"color": theme.GREEN, "width": 1, "dash": "dot"}
    figure.add_scatter(x=ties_x, y=ties_y, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    figure.add_scatter(
        x=[trial.latency_ms for trial in trials],
        y=[trial.final_accuracy for trial in trials],
        mode="markers",
        marker={
            "symbol": _symbols(trials, theme.FINAL),
            "color": theme.FINAL.color,
            "size": 15,
            "line": {"width": 1, "color": ink.line},
        },
        name=theme.FINAL.label,
        customdata=_facts(trials, f"final {metric}", "final_accuracy"),
        hovertemplate=MAIN_HOVER,
        **_undimmed(),
    )


def _add_strip(figure: go.Figure, trials: Sequence[Trial], metric: str) -> list[str]:
    """Trials without accuracy, one row of the lower axis for each look. Returns the rows' labels, bottom first."""
    rows = []
    for look in (theme.CANCELLED, theme.FAILED, theme.OVER_LIMIT, theme.ACTIVE):
        members = _of_look(trials, look)
        if not members:
            continue
        rows.append(look.label)
        figure.add_scatter(
            x=[trial.latency_ms for trial in members],
            y=[look.label] * len(members),
            yaxis="y2",
            error_x=_error_bars(_barred(members, set()), look.color),
            mode="markers",
            marker={
                "symbol": _symbols(members, look),
                "color": look.color,
                "size": 10,
                "line": {"width": 1, "color": look.color},
            },
            name=look.label,
            showlegend=False,
            customdata=_facts(members, metric, "accuracy"),
            hovertemplate=STRIP_HOVER,
            **_undimmed(),
        )
    return rows


def _add_ring(figure: go.Figure, trial: Trial | None, ink: Ink) -> None:
    """A ring around the trial whose details are shown."""
    if trial is None or trial.latency_ms is None:
        return
    on_strip = trial.accuracy is None
    figure.add_scatter(
        x=[trial.latency_ms],
        y=[look_of(trial).label if on_strip else trial.accuracy],
        yaxis="y2" if on_strip else "y",
        mode="markers",
        marker={"symbol": "circle-open", "size": 22, "color": ink.text, "line": {"width": 2}},
        name="Selected",
        hoverinfo="skip",
        showlegend=False,
    )


def _why_empty(timed: bool, over: bool) -> str:
    if timed:
        return "No candidate within the target." if over else "No accuracy yet."
    return "No candidate got as far as a latency." if over else "No latency yet. The first candidate is on its way."


def _add_nothing(figure: go.Figure, text: str, ink: Ink) -> None:
    """A sentence in place of points, and a mark that shows nothing, without which Plotly would leave out the axes."""
    figure.add_scatter(x=[None], y=[None], hoverinfo="skip", showlegend=False)
    figure.add_annotation(
        text=text, xref="x domain", yref="y domain", x=0.5, y=0.6, showarrow=False, font={"size": 14, "color": ink.line},
        bgcolor=ink.paper, borderpad=4,
    )  # fmt: skip


def _add_target(figure: go.Figure, target_ms: float, high_ms: float, ink: Ink) -> None:
    """The target's vertical line and the shade of what lies beyond it."""
    tall = {"yref": "paper", "y0": 0, "y1": 1}
    figure.add_shape(type="rect", x0=target_ms, x1=high_ms, fillcolor=ink.shade, line_width=0, layer="below", **tall)
    figure.add_shape(
        type="line", x0=target_ms, x1=target_ms, line={"color": theme.VERMILLION, "width": 1.5, "dash": "dash"}, **tall
    )
    figure.add_annotation(
        text=f"target {wording.target(target_ms)}", x=target_ms, y=1, yref="paper", yanchor="bottom", showarrow=False,
        font={"size": 12, "color": ink.text},
    )  # fmt: skip


def _lay_out(figure: go.Figure, scored: Sequence[Trial], rows: list[str], high_ms: float, metric: str, ink: Ink) -> None:
    strip_top = len(rows) * STRIP_ROW
    low, high = score_range(scored)
    grid = {"gridcolor": ink.grid, "zeroline": False, "automargin": False}
    figure.update_layout(
        height=HEIGHT_PX,
        margin=margin(72, rows),
        legend={"orientation": "h", "x": 0, "y": 1.08, "yanchor": "bottom", "title_text": ""},
        hovermode="closest",
        clickmode="event+select",
        dragmode="pan",
        font={"color": ink.text},
        xaxis={
            "title": {"text": "Latency (ms), median"}, "range": [-MARGIN * high_ms, high_ms], "anchor": "y2" if rows else "y", **grid,
        },
        yaxis={
            "title": {"text": _axis_title(metric)}, "range": [low, high],
            "domain": [strip_top + STRIP_GAP if rows else 0, 1], **grid,
        },
    )  # fmt: skip
    if rows:
        figure.update_layout(
            yaxis2={
                "type": "category", "categoryorder": "array", "categoryarray": rows, "range": [-0.6, len(rows) - 0.4], "fixedrange": True,
                "domain": [0, strip_top], "tickfont": {"size": 11}, **grid,
            }
        )  # fmt: skip


def _axis_title(metric: str) -> str:
    return f"Accuracy ({metric})" if metric != "accuracy" else "Accuracy"


def _right_edge_ms(trials: Iterable[Trial], barred: Iterable[Trial], target_ms: float) -> float:
    """Where the latency axis ends: past the target, every mark, and every bar that is drawn."""
    ends = [*(trial.latency_ms for trial in trials), *(trial.latency_p90_ms for trial in barred)]
    return 1.08 * max([1.15 * target_ms, *(end for end in ends if end is not None)])


def score_range(scored: Sequence[Trial]) -> tuple[float, float]:
    """The accuracy axis of some trials, early and final."""
    return range_of([score for trial in scored for score in (trial.accuracy, trial.final_accuracy) if score is not None])


def range_of(scores: Sequence[float]) -> tuple[float, float]:
    """An axis of scores: they with some air, at least 0.1 high; the whole unit interval when there are none."""
    if not scores:
        return 0.0, 1.0
    air = max(0.12 * (max(scores) - min(scores)), 0.05)
    return min(scores) - air, max(scores) + air


def _error_bars(trials: Sequence[Trial], color: str) -> dict:
    """Asymmetric horizontal bars from p10 to p90; of no length where these are not known."""
    middle = [trial.latency_ms or 0.0 for trial in trials]
    above = [(trial.latency_p90_ms or at_ms) - at_ms for trial, at_ms in zip(trials, middle, strict=True)]
    below = [at_ms - (trial.latency_p10_ms or at_ms) for trial, at_ms in zip(trials, middle, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "color": color,
        "thickness": 1.3,
        "width": 4,
    }


def _symbols(trials: Sequence[Trial], look: Look) -> list[str]:
    """The look's symbol, filled for a measured latency and open for any other source."""
    return [look.symbol if trial.latency_source in (None, "measured") else f"{look.symbol}-open" for trial in trials]


def _facts(trials: Sequence[Trial], metric: str, field: str) -> list[list[str | int]]:
    """Per trial: number, architecture, latency, its source and interval, metric, score, and the reason or status."""
    facts: list[list[str | int]] = []
    for trial in trials:
        between = wording.spread(trial.latency_p10_ms, trial.latency_p90_ms)
        source = trial.latency_source or "source unknown"
        source += f" ({wording.interval(trial.latency_source)}: {between})" if between else ""
        note = trial.reason or look_of(trial).label
        score = wording.accuracy(getattr(trial, field))
        facts.append([trial.trial, trial.architecture, wording.latency(trial.latency_ms), source, metric, score, wrapped(note)])
    return facts


def wrapped(text: str, width: int = 60) -> str:
    """A long text broken into lines for a hover label, at most four."""
    lines, line = [], ""
    for word in text.replace("<", "‹").replace(">", "›").split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    lines.append(line)
    return "<br>".join(lines[:4]) + (" …" if len(lines) > 4 else "")


def _undimmed() -> dict:
    """A click must not fade the other points: the ring alone marks the selection."""
    return {"selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 1}}}
