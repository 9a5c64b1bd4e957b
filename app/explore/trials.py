"""The parts of the Explore page: each draws one thing about the chosen trials."""

import csv
import io
from functools import partial

import streamlit as st

from app import catalogue, source, summary, wording
from app.explore import asking
from app.explore.filters import URL
from data.explore import (
    DECISIONS,
    LATENCY_STEPS,
    LEAST_EXPLAINED,
    MOST_EXPORTED,
    MOST_LINES,
    MOST_ROWS,
    ORDERS,
    VALUES,
    Chosen,
    Explorer,
    Overview,
    Point,
    Range,
    Subject,
    hypervolume,
)
from data.store import Store

DENSITY_KEY, FRONT_KEY, LINES_KEY = "explore_density", "explore_front", "explore_lines"
CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["lasso2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "pocketformer"},
}
ONE_BY_ONE = 600  # trials of a window that are drawn each; more as a density
TABS = ("Decisions", "Parallel coordinates", "Hypervolume", "Table")
ORDER_NAMES = {"accuracy": "Most accurate", "latency": "Fastest", "reward": "Highest reward", "newest": "Newest"}
HYPERVOLUME_HELP = (
    "The area below the front from 0 to the limit, over the limit: the accuracy to be had on average, "
    "were the target drawn evenly from 0 to the limit. 1 is a perfect score at no latency."
)


def ask_limit(overview: Overview) -> float | None:
    """The constraint: the newest run's target, unless the URL has another."""
    if overview.latency_high is None:
        return None
    given = overview.limit_ms or overview.latency_high
    return st.number_input(
        "Latency limit (ms)", min_value=0.01, value=float(f"{given:.4g}"), step=0.5, format="%.2f", key="limit", bind=URL, width=180,
        help="The constraint: the front, the best trial and the hypervolume are of trials within it. The newest run's own target at first.",
    )  # fmt: skip


def numbers(subject: Subject, chosen: Chosen, overview: Overview, front: list[Point], limit_ms: float | None) -> None:
    """The chosen trials in four numbers."""
    now: Overview = asking.ask(subject, "overview", chosen)
    best = front[-1] if front else None
    pairs = [(each.latency_ms or 0.0, each.accuracy or 0.0) for each in front]
    volume = f"{hypervolume(pairs, limit_ms):.3f}" if limit_ms and front else wording.NONE
    shown = f"{now.trials:,}".replace(",", " ")
    of = "" if now.trials == overview.trials else f" of {overview.trials:,}".replace(",", " ")
    metric = catalogue.metric_of(subject.task)
    with st.container(horizontal=True, gap="medium"):
        for label, value, note, width in (
            ("Trials", shown + of, "Trials that the filters leave, of those of the runs.", 190),
            (
                f"Best {metric}",
                wording.accuracy(best.accuracy if best else None),
                "Early-stage accuracy, within the limit.",
                150,
            ),
            ("Its latency", wording.latency(best.latency_ms if best else None), "Median, or predicted: see its marks.", 150),
            ("Hypervolume", volume, HYPERVOLUME_HELP, 150),
        ):
            st.metric(label, value, help=note, width=width)
    parts = (
        (now.trained, "within target"),
        (now.over_limit, "over target"),
        (now.failed, "failed"),
        (now.cancelled, "cancelled"),
    )
    tally = ", ".join(f"{number:,} {name}".replace(",", " ") for number, name in parts if number)
    facts = [tally, f"latency {now.sources}" if now.sources else "no latency", wording.plural(now.runs, "run")]
    st.caption(wording.markdown(" · ".join(each for each in facts if each)))


def front_chart(
    subject: Subject, chosen: Chosen, overview: Overview, front: list[Point], limit_ms: float | None, selected: Point | None
) -> None:
    """The front over the density. A click puts a trial into the URL, a box the window."""
    from app.explore.figures import COLUMNS, ROWS, Picture, front_figure

    whole = whole_window(overview, limit_ms)
    window = zoomed() or whole
    few: list[Point] | None = asking.ask(subject, "points", chosen, *window, ONE_BY_ONE)
    cells = [] if few is not None else asking.ask(subject, "density", chosen, *window, COLUMNS, ROWS)
    unscored = asking.ask(subject, "unscored", chosen, window[0], COLUMNS)
    picture = Picture(window, front, cells, few or [], unscored, limit_ms, catalogue.metric_of(subject.task), selected)
    drawn = (
        f"{len(few)} trials one by one" if few is not None else f"the density of {sum(cell.trials for cell in cells)} trials"
    )
    st.plotly_chart(
        front_figure(picture, dark=dark()),
        key=FRONT_KEY if few is not None else DENSITY_KEY,
        on_select=_picked_on_front if few is not None else _boxed,
        selection_mode=("points", "box"),
        config=CONFIG,
        alt=f"Accuracy against latency in milliseconds: {drawn}, and a Pareto front of {wording.plural(len(front), 'trial')}.",
    )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        note = (
            "Click a mark for its details."
            if few is not None
            else "Drag a box to look closer: few enough trials are drawn one by one."
        )
        nothing = "No trial in this window has an accuracy; the table says why of each."
        st.caption(f"Drawn: {drawn}. {note}" if cells or few else nothing, width="stretch")
        if zoomed() and st.button("Whole picture", icon=":material/zoom_out_map:"):
            del st.query_params["zoom"]
            st.rerun()


def whole_window(overview: Overview, limit_ms: float | None) -> tuple[Range, Range]:
    """All trials with some air; the unit square where nothing is known."""
    high_ms = 1.04 * max(overview.latency_high or 1.0, min(limit_ms or 0.0, 2 * (overview.latency_high or 1.0)))
    if overview.accuracy_low is None or overview.accuracy_high is None:
        return (0.0, high_ms), (0.0, 1.0)
    air = max(0.06 * (overview.accuracy_high - overview.accuracy_low), 0.02)
    return (0.0, high_ms), (overview.accuracy_low - air, overview.accuracy_high + air)


def zoomed() -> tuple[Range, Range] | None:
    """The window that the URL names; None where it names none, or no window."""
    try:
        low_ms, high_ms, low, high = (float(each) for each in st.query_params.get("zoom", "").split(","))
    except ValueError:
        return None
    return ((low_ms, high_ms), (low, high)) if low_ms < high_ms and low < high else None


def _boxed() -> None:
    _zoom(st.session_state[DENSITY_KEY]["selection"])


def _picked_on_front() -> None:
    picked = st.session_state[FRONT_KEY]["selection"]
    if not _zoom(picked):
        _picked(picked)


def _zoom(picked: dict) -> bool:
    """Put a box that was drawn into the URL; False where none was."""
    for box in picked.get("box") or []:
        if box.get("xref", "x") == "x" and box.get("yref", "y") == "y":
            (x, y) = sorted(map(float, box["x"])), sorted(map(float, box["y"]))
            st.query_params["zoom"] = ",".join(f"{each:.5g}" for each in (*x, *y))
            return True
    return False


def _picked_on_lines() -> None:
    _picked(st.session_state[LINES_KEY]["selection"])


def _picked(selection: dict) -> None:
    facts = next((point["customdata"] for point in selection["points"] if point.get("customdata")), None)
    if facts and facts[0]:
        st.query_params["trial"] = f"{facts[0]}/{facts[1]}"


def selected(subject: Subject) -> Point | None:
    """The trial that the URL names, if there is one of that name."""
    run_id, _, number = st.query_params.get("trial", "").rpartition("/")
    return asking.ask(subject, "trial", run_id, int(number)) if run_id and number.isdecimal() else None


def card(point: Point, subject: Subject) -> None:
    """One trial: its numbers, why it was dropped, and the way to its run."""
    metric = catalogue.metric_of(subject.task)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Trial {point.trial}** of {wording.markdown(point.run_id)}", width="content")
            st.badge(summary.label(point.status), color="blue" if point.status == "trained" else "orange")
        st.code(point.architecture, language=None, wrap_lines=True)
        if point.reason:
            st.markdown(f"**Why:** {wording.markdown(point.reason)}")
        between = wording.spread(point.latency_p10_ms, point.latency_p90_ms)
        facts = {
            "Latency": f"{wording.latency(point.latency_ms)}" + (f", {point.latency_source}" if point.latency_source else ""),
            wording.interval(point.latency_source): between or wording.NONE,
            f"Early-stage {metric}": wording.accuracy(point.accuracy),
            f"Final {metric}": wording.accuracy(point.final_accuracy),
            "Parameters, FLOPs": f"{wording.count(point.parameters)}, {wording.count(point.flops)}",
        }
        st.table(facts, border="horizontal", hide_header=True, alt=f"Trial {point.trial} in numbers")
        with st.container(horizontal=True):
            st.page_link(
                "views/run.py", label="In its run", icon=":material/scatter_plot:",
                query_params={"run": point.run_id, "trial": str(point.trial)},
            )  # fmt: skip
            st.page_link(
                "views/compare.py", label="Compare with…", icon=":material/compare_arrows:",
                query_params={"models": [f"{point.run_id}/{point.trial}", "minilm-l6"]},
            )  # fmt: skip
            st.page_link(
                "views/space.py",
                label="Vary its sizes",
                icon=":material/tune:",
                query_params={"architecture": point.architecture},
            )


def more(subject: Subject, chosen: Chosen, limit_ms: float | None) -> None:
    """What is drawn on request: of the tabs only the open one asks the store."""
    decisions, lines, volume, table = st.tabs(TABS, key="show", bind=URL)
    if decisions.open:
        with decisions:
            decisions_chart(subject, chosen)
    if lines.open:
        with lines:
            lines_chart(subject, chosen)
    if volume.open:
        with volume:
            volume_chart(subject, chosen, limit_ms)
    if table.open:
        with table:
            rows(subject, chosen)


def decisions_chart(subject: Subject, chosen: Chosen) -> None:
    """Which decisions matter, and where two of them lead."""
    from app.explore.figures import groups_figure, importance_figure

    shares = {label: asking.ask(subject, "importance", chosen, value) for value, label in VALUES.items()}
    left, right = st.columns(2)
    with left:
        st.markdown("**Importance of decisions**")
        if not any(shares.values()):
            st.caption(
                f"Too few trials to tell: {LEAST_EXPLAINED} with an accuracy or a latency, of different sizes, are needed."
            )
        else:
            st.plotly_chart(
                importance_figure(shares, dark=dark()), key="importance", config=CONFIG,
                alt="Share of the variance of accuracy and of latency that each decision explains.",
            )  # fmt: skip
            st.caption(
                "How much of the variance one decision explains on its own, adjusted for chance. Bars: two standard errors (jackknife). "
                "A search does not try all sizes alike, so shares of different searches differ."
            )
    with right:
        st.markdown("**Two decisions**")
        with st.container(horizontal=True):
            x = st.selectbox("Across", list(DECISIONS), key="across", format_func=DECISIONS.__getitem__, bind=URL, width=150)
            others = [each for each in DECISIONS if each != x]
            y = st.selectbox("Upwards", others, key="upwards", format_func=DECISIONS.__getitem__, bind=URL, width=150)
            value = st.selectbox("Value", list(VALUES), key="value", format_func=VALUES.__getitem__, bind=URL, width=150)
        groups = asking.ask(subject, "groups", chosen, x, y, value)
        if not groups:
            st.caption(f"No trial here has {'an accuracy' if value == 'accuracy' else 'a latency'}.")
            return
        st.plotly_chart(
            groups_figure(groups, DECISIONS[x], DECISIONS[y], VALUES[value], dark=dark()), key="groups", config=CONFIG,
            alt=f"Mean {VALUES[value]} by {DECISIONS[x]} and {DECISIONS[y]}.",
        )  # fmt: skip
        st.caption("Mean of all trials with these sizes; empty where none was tried. Mean FFN sizes are rounded to 128.")


def lines_chart(subject: Subject, chosen: Chosen) -> None:
    """A line for each of a bounded number of trials."""
    from app.explore.figures import parallel_figure

    points = asking.ask(subject, "lines", chosen)
    if not points:
        st.caption("No trial here has an accuracy.")
        return
    st.plotly_chart(
        parallel_figure(points, catalogue.metric_of(subject.task), dark=dark()), key=LINES_KEY, on_select=_picked_on_lines,
        selection_mode="points", config=CONFIG, alt=f"Parallel coordinates of {len(points)} trials: sizes, latency, accuracy.",
    )  # fmt: skip
    all_of_them = len(points) < MOST_LINES * 0.9
    st.caption(
        ("All trials with an accuracy." if all_of_them else f"{len(points)} trials: the best, and others by chance.")
        + " Coloured by fifths of accuracy, the best on top. Click an end for its trial; to narrow an axis, filter above."
    )


def volume_chart(subject: Subject, chosen: Chosen, limit_ms: float | None) -> None:
    """How fast each run's front grew."""
    from app.explore.figures import history_figure

    records = asking.ask(subject, "records", chosen, limit_ms) if limit_ms else {}
    if not limit_ms or not records:
        st.caption("No trial here has an accuracy within the limit.")
        return
    st.plotly_chart(
        history_figure(records, limit_ms, dark=dark()), key="volume", config=CONFIG,
        alt=f"Hypervolume of the front within {limit_ms:g} ms after each trial, of {wording.plural(len(records), 'run')}.",
    )  # fmt: skip
    st.caption(f"{HYPERVOLUME_HELP} Read to a {LATENCY_STEPS}th of the limit, of the runs with the most trials.")


def rows(subject: Subject, chosen: Chosen) -> None:
    """The first trials in an order, and all of them as a file."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        order = st.selectbox("Order", list(ORDERS), key="order", format_func=ORDER_NAMES.__getitem__, bind=URL, width=200)
        st.download_button(
            "All as CSV", data=partial(csv_text, source.store(), chosen), file_name="pocketformer-trials.csv", mime="text/csv",
            icon=":material/download:", on_click="ignore", help=f"Every chosen trial, at most {MOST_EXPORTED:,}.",
        )  # fmt: skip
    points: list[Point] = asking.ask(subject, "rows", chosen, order)
    if not points:
        st.caption("No trial passes the filters.")
        return
    key = f"rows-{order}"
    st.dataframe(
        [_row(each) for each in points],
        key=key,
        hide_index=True,
        height=min(420, 38 + 35 * len(points)),
        placeholder=wording.NONE,
        on_select=lambda: _picked_row(key, points),
        selection_mode="single-row",
        column_config={
            "Architecture": st.column_config.TextColumn(width="medium"),
            "Latency (ms)": st.column_config.NumberColumn(format="%.2f"),
            "Accuracy": st.column_config.NumberColumn(format="%.3f", help="Early-stage, on held-out training data."),
            "Final accuracy": st.column_config.NumberColumn(format="%.3f", help="After full training, on the development set."),
            "Mean FFN": st.column_config.NumberColumn(format="%.0f"),
            "Parameters (M)": st.column_config.NumberColumn(format="%.1f"),
            "Reason": st.column_config.TextColumn(width="large"),
        },
        alt="Table of the chosen trials",
    )
    st.caption(f"The first {MOST_ROWS} in this order at most. Click a row for its details.")


def _row(point: Point) -> dict[str, object]:
    return {
        "Run": point.run_id,
        "Trial": point.trial,
        "Status": summary.label(point.status),
        "Architecture": point.architecture,
        "Latency (ms)": point.latency_ms,
        "Source": point.latency_source,
        "Accuracy": point.accuracy,
        "Final accuracy": point.final_accuracy,
        "Layers": point.layers,
        "Hidden size": point.hidden_size,
        "Mean FFN": point.ffn_mean,
        "Parameters (M)": None if point.parameters is None else point.parameters / 1e6,
        "Reason": point.reason or "",
    }


def _picked_row(key: str, points: list[Point]) -> None:
    chosen = st.session_state[key]["selection"]["rows"]
    if chosen:
        st.query_params["trial"] = f"{points[chosen[0]].run_id}/{points[chosen[0]].trial}"


def csv_text(store: Store, chosen: Chosen) -> bytes:
    """All chosen trials, oldest runs last; asked when the button is clicked and not before."""
    names = list(Point.__dataclass_fields__)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for point in Explorer(store).rows(chosen, "newest", MOST_EXPORTED):
        writer.writerow([getattr(point, name) for name in names])
    return text.getvalue().encode()


def dark() -> bool:
    return st.context.theme.type == "dark"
