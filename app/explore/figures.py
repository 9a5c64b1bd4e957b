"""Figures over many trials. Pure: answers of `data.explore` in, Plotly figures out.

Marks of a trial carry its run and number as the first values of `customdata`, so that a click finds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10

import plotly.graph_objects as go

from app import figures, theme, wording
from app.theme import Ink
from data.explore import DECISIONS, Bin, Cell, Group, Point, Range, Share, history

COLUMNS, ROWS = 96, 48  # cells of the density
HEIGHT_PX = 480
STRIP_ROW = 0.075
STRIP_GAP = 0.035
HOVER = (
    "<b>Trial %{customdata[1]}</b> of %{customdata[0]}<br>%{customdata[2]}<br>latency %{customdata[3]}<br>%{customdata[4]}"
    "<extra></extra>"
)
PAIRS = (theme.BLUE, theme.VERMILLION, theme.GREEN, theme.ORANGE, theme.PURPLE, theme.SKY)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Picture:
    """What the front's figure shows.

    Attributes:
        window: latency and accuracy that it spans.
        cells: the density; empty where `points` are drawn one by one.
        limit_ms: the constraint; None without one.
    """

    window: tuple[Range, Range]
    front: Sequence[Point]
    cells: Sequence[Cell]
    points: Sequence[Point]
    unscored: Sequence[Bin]
    limit_ms: float | None
    metric: str
    selected: Point | None = None


def front_figure(picture: Picture, *, dark: bool = False) -> go.Figure:
    """Accuracy against latency: the density of all trials, or its trials where they are few, the front, and the constraint."""
    ink, figure = theme.ink(dark), go.Figure()
    (low_ms, high_ms), (low, high) = picture.window
    if picture.cells:
        _add_density(figure, picture, ink, dark)
    for status in ("over_limit", "failed", "cancelled", "running", "proposed", "trained"):
        _add_points(figure, [each for each in picture.points if each.status == status], picture.metric, ink)
    _add_front(figure, picture, ink)
    rows = _add_strip(figure, picture, dark)
    _add_ring(figure, picture.selected, rows, ink)
    if picture.limit_ms is not None and low_ms < picture.limit_ms < high_ms:
        _add_limit(figure, picture.limit_ms, high_ms, ink)
    if not (picture.cells or picture.points or picture.front):
        figure.add_scatter(x=[None], y=[None], hoverinfo="skip", showlegend=False)
        figure.add_annotation(
            text="No trial here has an accuracy.", xref="x domain", yref="y domain", x=0.5, y=0.5, showarrow=False,
            font={"size": 14, "color": ink.line},
        )  # fmt: skip
    top = len(rows) * STRIP_ROW
    grid = {"gridcolor": ink.grid, "zeroline": False, "automargin": False}
    figure.update_layout(
        height=HEIGHT_PX,
        margin=figures.margin(64, rows),
        legend={"orientation": "h", "x": 0, "y": 1.05, "yanchor": "bottom", "title_text": ""},
        font={"color": ink.text}, hovermode="closest", clickmode="event+select",
        # Streamlit gives clicks away where dragging selects: a box over a density asks for its trials, a click on one of few for its details.
        dragmode="select" if picture.cells else "zoom",
        xaxis={"title": {"text": "Latency (ms), median"}, "range": [low_ms, high_ms], "anchor": "y2" if rows else "y", **grid},
        yaxis={
            "title": {"text": f"Accuracy ({picture.metric})" if picture.metric != "accuracy" else "Accuracy"},
            "range": [low, high], "domain": [top + STRIP_GAP if rows else 0, 1], **grid,
        },
    )  # fmt: skip
    if rows:
        figure.update_layout(
            yaxis2={
                "tickvals": list(range(len(rows))), "ticktext": rows, "range": [-0.6, len(rows) - 0.4], "domain": [0, top],
                "tickfont": {"size": 11}, "fixedrange": True, "showgrid": False, "zeroline": False, "automargin": False,
            },
        )  # fmt: skip
    return figure


def _scale(dark: bool, color: str) -> list[list[object]]:
    """From faint to the full colour, on either background: one hue, so that more is told by lightness alone."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return [[0, f"rgba({red}, {green}, {blue}, {0.25 if dark else 0.14})"], [1, f"rgba({red}, {green}, {blue}, 1)"]]


def _add_density(figure: go.Figure, picture: Picture, ink: Ink, dark: bool) -> None:
    (low_ms, high_ms), (low, high) = picture.window
    z: list[list[float | None]] = [[None] * COLUMNS for _ in range(ROWS)]
    counts = [[0] * COLUMNS for _ in range(ROWS)]
    for cell in picture.cells:
        z[cell.row][cell.column] = log10(cell.trials)
        counts[cell.row][cell.column] = cell.trials
    most = max(cell.trials for cell in picture.cells)
    ticks = [tick for tick in (1, 10, 100, 1000, 10_000, 100_000) if tick <= most]
    figure.add_heatmap(
        x0=low_ms + (high_ms - low_ms) / COLUMNS / 2, dx=(high_ms - low_ms) / COLUMNS,
        y0=low + (high - low) / ROWS / 2, dy=(high - low) / ROWS,
        z=z, customdata=counts, zmin=0, zmax=max(log10(most), 0.3), colorscale=_scale(dark, theme.SKY if dark else theme.BLUE),
        hovertemplate="%{customdata} trials<br>around %{x:.2f} ms, %{y:.3f}<extra></extra>",
        colorbar={"title": {"text": "Trials", "font": {"size": 11}}, "tickvals": [log10(tick) for tick in ticks], "ticktext": list(map(str, ticks)),
                  "thickness": 9, "len": 0.55, "y": 0.66, "outlinewidth": 0, "tickfont": {"size": 10}},
    )  # fmt: skip


def _add_points(figure: go.Figure, points: Sequence[Point], metric: str, ink: Ink) -> None:
    if not points:
        return
    look = figures.look_of(points[0])
    figure.add_scatter(
        x=[each.latency_ms for each in points],
        y=[each.accuracy for each in points],
        mode="markers",
        marker={
            "symbol": [_symbol(each, look.symbol) for each in points],
            "color": look.color,
            "size": 7 if len(points) > 60 else 10,
            "line": {"width": 1, "color": ink.paper if len(points) > 60 else ink.line},
        },
        name=look.label,
        customdata=[_facts(each, metric) for each in points],
        hovertemplate=HOVER,
        **UNDIMMED,
    )


def _add_front(figure: go.Figure, picture: Picture, ink: Ink) -> None:
    """The step line on to the limit, and its trials with the interval of their latency."""
    front = [each for each in picture.front if each.latency_ms is not None]
    if not front:
        return
    x, y = [each.latency_ms or 0.0 for each in front], [each.accuracy for each in front]
    end_ms = min(picture.limit_ms or picture.window[0][1], picture.window[0][1])
    steps = ([*x, end_ms], [*y, y[-1]]) if x[-1] < end_ms else (x, y)
    figure.add_scatter(
        x=steps[0], y=steps[1], mode="lines", line={"shape": "hv", "color": ink.line, "width": 2}, name="Pareto front",
        hoverinfo="skip",
    )  # fmt: skip
    bars = {
        "type": "data", "symmetric": False, "color": ink.line, "thickness": 1, "width": 3,
        "array": [(each.latency_p90_ms or at) - at for each, at in zip(front, x, strict=True)],
        "arrayminus": [at - (each.latency_p10_ms or at) for each, at in zip(front, x, strict=True)],
    }  # fmt: skip
    figure.add_scatter(
        x=x, y=y, mode="markers", error_x=bars if len(front) <= 12 else None, name="On the front", hovertemplate=HOVER,
        marker={
            "symbol": [_symbol(each, "diamond") for each in front], "color": theme.ORANGE, "size": 9, "line": {"width": 1, "color": ink.text},
        },
        customdata=[_facts(each, picture.metric) for each in front], **UNDIMMED,
    )  # fmt: skip


def _add_strip(figure: go.Figure, picture: Picture, dark: bool) -> list[str]:
    """Trials without accuracy: a row for each status below the picture. Returns the rows' labels, bottom first."""
    low_ms, high_ms = picture.window[0]
    width = (high_ms - low_ms) / COLUMNS
    rows = []
    for status in ("cancelled", "failed", "over_limit", "proposed", "running"):
        bins = [each for each in picture.unscored if each.status == status]
        if not bins:
            continue
        look = figures.look_of_status(status)
        label = {"proposed": "Proposed"}.get(status, look.label)
        rows.append(label)
        z: list[float | None] = [None] * COLUMNS
        counts = [0] * COLUMNS
        for each in bins:
            z[each.column], counts[each.column] = log10(each.trials), each.trials
        figure.add_heatmap(
            x0=low_ms + width / 2, dx=width, y0=len(rows) - 1, dy=1, z=[z], customdata=[counts], zmin=0, zmax=max(log10(max(counts)), 0.3),
            showscale=False, yaxis="y2", ygap=2, colorscale=_scale(dark, look.color),
            hovertemplate=f"{label}: %{{customdata}} trials around %{{x:.2f}} ms<extra></extra>",
        )  # fmt: skip
    return rows


def _add_ring(figure: go.Figure, point: Point | None, rows: Sequence[str], ink: Ink) -> None:
    """A ring around the trial whose details are shown, in the picture or in its row of the strip."""
    if point is None or point.latency_ms is None:
        return
    label = figures.look_of(point).label
    if point.accuracy is None and label not in rows:
        return
    figure.add_scatter(
        x=[point.latency_ms], y=[rows.index(label) if point.accuracy is None else point.accuracy],
        yaxis="y2" if point.accuracy is None else "y", mode="markers", hoverinfo="skip", showlegend=False,
        marker={"symbol": "circle-open", "size": 22, "color": ink.text, "line": {"width": 2}},
    )  # fmt: skip


def _add_limit(figure: go.Figure, limit_ms: float, high_ms: float, ink: Ink) -> None:
    tall = {"yref": "paper", "y0": 0, "y1": 1}
    figure.add_shape(type="rect", x0=limit_ms, x1=high_ms, fillcolor=ink.shade, line_width=0, layer="below", **tall)
    figure.add_shape(
        type="line", x0=limit_ms, x1=limit_ms, line={"color": theme.VERMILLION, "width": 1.5, "dash": "dash"}, **tall
    )
    figure.add_annotation(
        text=f"limit {wording.target(limit_ms)}", x=limit_ms, y=1, yref="paper", yanchor="bottom", showarrow=False,
        font={"size": 12, "color": ink.text},
    )  # fmt: skip


def history_figure(
    records: Mapping[str, Sequence[tuple[int, float, float]]], limit_ms: float, *, dark: bool = False
) -> go.Figure:
    """How the front of each run grew, trial by trial: its hypervolume within the limit."""
    ink, figure = theme.ink(dark), go.Figure()
    for (run_id, rows), color, dash in zip(records.items(), PAIRS, DASHES, strict=False):
        steps = history(rows, limit_ms)
        if steps:
            figure.add_scatter(
                x=[trial for trial, _ in steps], y=[value for _, value in steps], name=run_id,
                mode="lines+markers" if len(steps) < 12 else "lines",
                line={"shape": "hv", "color": color, "dash": dash, "width": 2},
                hovertemplate=f"{run_id}<br>trial %{{x}}: %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
    _frame(figure, ink, "Trial", f"Hypervolume within {wording.target(limit_ms)}")
    return figure


def importance_figure(shares: Mapping[str, Sequence[Share]], *, dark: bool = False) -> go.Figure:
    """The share of variance that each decision explains, of accuracy and of latency, with two standard errors."""
    ink, figure = theme.ink(dark), go.Figure()
    names = list(DECISIONS.values())[::-1]
    for (value, rows), color in zip(shares.items(), (theme.BLUE, theme.ORANGE), strict=False):
        known = {DECISIONS[each.decision]: each for each in rows}
        figure.add_bar(
            y=names, x=[known[name].share if name in known else None for name in names], orientation="h", name=value,
            error_x={"type": "data", "array": [2 * known[name].error if name in known else 0 for name in names], "color": ink.line, "thickness": 1.2},
            marker={"color": color},
            hovertemplate="%{y}: %{x:.1%} of the variance<extra>" + value + "</extra>",
        )  # fmt: skip
    _frame(figure, ink, "Share of the variance explained", "", height_px=260)
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_layout(barmode="group")
    return figure


NUMBERED_CELLS = 60


def groups_figure(groups: Sequence[Group], x: str, y: str, value: str, *, dark: bool = False) -> go.Figure:
    """A value over two decisions: its mean in each combination that was tried, as a number; contour lines where there are too many for numbers."""
    ink, figure = theme.ink(dark), go.Figure()
    columns, rows = sorted({each.x for each in groups}), sorted({each.y for each in groups})
    cells = {(each.x, each.y): each for each in groups}
    table = [[cells.get((column, row)) for column in columns] for row in rows]
    z = [[each.mean if each else None for each in line] for line in table]
    facts = [[[each.trials, each.best] if each else [0, None] for each in line] for line in table]
    unit = " ms" if value.startswith("Latency") else ""
    numbered = len(columns) * len(rows) <= NUMBERED_CELLS
    figure.add_heatmap(
        x=[f"{each:g}" for each in columns], y=[f"{each:g}" for each in rows], z=z, customdata=facts, colorscale="Cividis",
        xgap=1, ygap=1, reversescale=value.startswith("Latency"),
        texttemplate=("%{z:.1f}" if unit else "%{z:.3f}") if numbered else None, textfont={"size": 11},
        hovertemplate=f"{x} %{{x}}, {y} %{{y}}<br>mean %{{z:.3f}}{unit}, best %{{customdata[1]:.3f}}{unit}<br>%{{customdata[0]}} trials<extra></extra>",
        colorbar={"title": {"text": value, "side": "right"}, "thickness": 9, "outlinewidth": 0},
    )  # fmt: skip
    if not numbered and len(columns) >= 3 and len(rows) >= 3 and len(groups) > 0.6 * len(columns) * len(rows):
        figure.add_contour(
            x=[f"{each:g}" for each in columns], y=[f"{each:g}" for each in rows], z=z, showscale=False, hoverinfo="skip",
            contours={"coloring": "none"}, line={"color": ink.paper if not dark else "#FFFFFF", "width": 1.2}, connectgaps=False, ncontours=6,
        )  # fmt: skip
    _frame(figure, ink, x, y, height_px=360)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False)
    return figure


AXES: tuple[tuple[str, str, float], ...] = (  # field of Point, what the axis is called, what one unit of it is
    ("layers", "Layers", 1),
    ("hidden_size", "Hidden size", 1),
    ("ffn_mean", "Mean FFN size", 1),
    ("parameters", "Parameters (M)", 1e6),
    ("latency_ms", "Latency (ms)", 1),
    ("accuracy", "Accuracy", 1),
)
BANDS = 5


def parallel_figure(points: Sequence[Point], metric: str, *, dark: bool = False) -> go.Figure:
    """Parallel coordinates: a line for each trial through its sizes, latency and accuracy; coloured by fifths of accuracy.

    `points` come by accuracy, the lowest first, so that the best are drawn on top.
    """
    ink, figure = theme.ink(dark), go.Figure()
    whole = [each for each in points if all(getattr(each, field) is not None for field, _, _ in AXES)]
    ends = {field: (min(values), max(values)) for field, _, _ in AXES if (values := [getattr(each, field) for each in whole])}
    for band in range(BANDS):
        members = whole[len(whole) * band // BANDS : len(whole) * (band + 1) // BANDS]
        if not members:
            continue
        x: list[int | None] = []
        y: list[float | None] = []
        for each in members:
            x += [*range(len(AXES)), None]
            y += [*(_placed(getattr(each, field), *ends[field]) for field, _, _ in AXES), None]
        best = band == BANDS - 1
        name = f"{members[0].accuracy:.3f} to {members[-1].accuracy:.3f}"
        figure.add_scatter(
            x=x, y=y, mode="lines", hoverinfo="skip", name=name, opacity=0.9 if best else 0.45, legendgroup=name,
            line={"width": 1.4 if best else 1, "color": _BAND_COLORS[band]},
        )  # fmt: skip
        figure.add_scatter(
            x=[len(AXES) - 1] * len(members), y=[_placed(each.accuracy or 0.0, *ends["accuracy"]) for each in members], mode="markers",
            customdata=[_facts(each, metric) for each in members], hovertemplate=HOVER, showlegend=False, legendgroup=name,
            marker={"size": 7, "color": _BAND_COLORS[band], "line": {"width": 0.5, "color": ink.line}}, **UNDIMMED,
        )  # fmt: skip
    for place, (field, _, unit) in enumerate(AXES):
        if field in ends:
            low, high = (value / unit for value in ends[field])
            shown = {
                "showarrow": False,
                "font": {"size": 11, "color": ink.text},
                "x": place,
                "bgcolor": ink.paper,
                "borderpad": 1,
            }
            figure.add_annotation(text=f"{high:.4g}", y=1, yanchor="bottom", yshift=3, **shown)
            figure.add_annotation(text=f"{low:.4g}", y=0, yanchor="top", yshift=-3, **shown)
        figure.add_shape(type="line", x0=place, x1=place, y0=0, y1=1, line={"color": ink.line, "width": 1}, layer="below")
    _frame(figure, ink, "", "", height_px=430)
    labels = [
        label.replace(" (", "<br>(").replace("Mean FFN", "Mean<br>FFN").replace("Hidden size", "Hidden<br>size")
        for _, label, _ in AXES
    ]
    figure.update_xaxes(tickvals=list(range(len(AXES))), ticktext=labels, range=[-0.35, len(AXES) - 0.65], showgrid=False)
    figure.update_yaxes(visible=False, range=[-0.09, 1.09])
    figure.update_layout(legend_title_text=f"Accuracy ({metric})" if metric != "accuracy" else "Accuracy")
    return figure


def _placed(value: float, low: float, high: float) -> float:
    """Where a value lies on an axis, in [0, 1]; in the middle where all are equal."""
    return (value - low) / (high - low) if high > low else 0.5


_BAND_COLORS = (theme.GREY, theme.SKY, theme.GREEN, theme.ORANGE, theme.VERMILLION)
UNDIMMED = {"selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 1}}}


def _frame(figure: go.Figure, ink: Ink, x: str, y: str, height_px: int = 340) -> None:
    grid = {"gridcolor": ink.grid, "zeroline": False, "automargin": True}
    figure.update_layout(
        height=height_px, margin={"l": 8, "r": 12, "t": 48, "b": 8}, font={"color": ink.text}, hovermode="closest", clickmode="event+select",
        dragmode=False, legend={"orientation": "h", "x": 0, "y": 1.06, "yanchor": "bottom", "title_text": ""},
        xaxis={"title": {"text": x}, **grid}, yaxis={"title": {"text": y}, **grid},
    )  # fmt: skip


def _symbol(point: Point, symbol: str) -> str:
    """Filled for a measured latency, open for any other source."""
    return symbol if point.latency_source in (None, "measured") else f"{symbol}-open"


def _facts(point: Point, metric: str) -> list[str | int]:
    """Run, trial, architecture, latency with its source and interval, metric and score."""
    between = wording.spread(point.latency_p10_ms, point.latency_p90_ms)
    latency = f"{wording.latency(point.latency_ms)}, {point.latency_source or 'source unknown'}"
    latency += f" ({wording.interval(point.latency_source)}: {between})" if between else ""
    return [point.run_id, point.trial, point.architecture, latency, f"{metric} {wording.accuracy(point.accuracy)}"]
