"""The parts of the Run page. Each draws one thing from a snapshot; none of them reads the store on its own."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from app import catalogue, layers, summary, wording
from app.charts import chart, shared
from app.source import Snapshot
from data.errors import ModelError
from data.records import Event, Run, Trial
from engine.architecture import Architecture

if TYPE_CHECKING:
    import plotly.graph_objects as go

CHART_KEY = "front"
LEVELS = {"warning": "warning: ", "error": "error: "}
TABLE_ROWS_PX = 400
LOG_PX = 280
LOG_LINES_UNSCROLLED = 9


def badge(run: Run) -> None:
    """The run's status, told by word, icon and colour."""
    label, color, icon = wording.RUN_STATES[run.status]
    st.badge(label, color=color, icon=icon)


def numbers(view: Snapshot) -> None:
    """The run in four numbers, with their units."""
    best = view.best
    metric = catalogue.metric_of(view.run.settings.get("task", ""))
    score = None if best is None else best.accuracy if best.final_accuracy is None else best.final_accuracy
    stage = "Best" if best is None or best.final_accuracy is None else "Final"
    state = summary.progress(view.run, view.trials)
    end = view.run.updated_at if view.run.over else datetime.now(UTC)
    elapsed_s = (wording.in_utc(end) - wording.in_utc(view.run.created_at)).total_seconds()
    with st.container(horizontal=True, gap="medium"):
        for label, value, note in (
            (f"{stage} {metric}", wording.accuracy(score), ACCURACY_HELP),
            (latency_label(best), wording.latency(best.latency_ms if best else None), LATENCY_HELP),
            ("Trials", f"{state.finished} of {state.total}", "Trials that are over, of those asked for."),
            ("Time", wording.seconds(elapsed_s), "From Start to now, or to the end of the run."),
        ):
            st.metric(label, value, help=note, width=NUMBER_PX)


def latency_label(best: Trial | None) -> str:
    """The best trial's latency is measured, or the label says what it is."""
    source = best.latency_source if best else None
    return "Its latency" if source in (None, "measured") else f"Its latency, {source}"


NUMBER_PX = 150
ACCURACY_HELP = (
    "Early-stage accuracy, on a held-out part of the training data, steers the search. "
    "The best candidate is then trained to the end and scored on the development set: its final accuracy."
)
LATENCY_HELP = (
    "Measured: median of at least 100 runs after warm-up, batch 1, with its 10th and 90th percentile. "
    "Predicted: from the device's catalogue entry and calibration, with a 90 % interval. Lower is better."
)


def progress(view: Snapshot) -> None:
    """Trials done of those asked for, and what is under way now."""
    state = summary.progress(view.run, view.trials)
    st.progress(
        state.fraction, text=f"{state.finished} of {wording.plural(state.total, 'trial')}: {summary.tally(view.trials)}"
    )
    for step in summary.steps(view.working, view.events):
        title = wording.markdown(step.title)
        if step.fraction is None:
            st.caption(f":material/autorenew: {title}")
        else:
            st.progress(step.fraction, text=f"{title} ({step.fraction:.0%})")


def outcome(view: Snapshot) -> None:
    """What a run that ended, or that finds nothing, has to say."""
    run = view.run
    if run.status == "failed":
        reason = wording.markdown(run.error or "no reason was recorded; see the log")
        st.error(f"The run failed: {reason}", icon=":material/error:")
    elif run.status == "cancelled":
        st.info("The run was cancelled. What it found until then is kept below.", icon=":material/block:")
    elif run.status == "cancelling":
        st.info("Cancelling: work under way is being stopped.", icon=":material/hourglass_top:")
    elif run.status == "paused":
        st.info(
            "Paused. Nothing is proposed and no worker has work of this run. Resume goes on where it stopped.",
            icon=":material/pause_circle:",
        )
    elif run.status == "running" and (fastest := fastest_over(view.trials)) is not None:
        target = wording.target(run.settings.get("latency_ms", 0.0))
        st.warning(
            f"Every candidate so far is over the target of {target}; the fastest takes {wording.latency(fastest.latency_ms)}. "
            "If none fits in the end, raise the target.",
            icon=":material/speed:",
        )


def fastest_over(trials: Sequence[Trial]) -> Trial | None:
    """The fastest candidate when all that have a latency are over the target."""
    timed = [trial for trial in trials if trial.latency_ms is not None]
    if not timed or any(trial.status != "over_limit" for trial in timed):
        return None
    return summary.notable_trial(timed)


def front(view: Snapshot, selected: int | None) -> None:
    """Accuracy against latency. A click puts the trial into the URL."""
    from app.figures import pareto_figure

    settings, dark = view.run.settings, st.context.theme.type == "dark"
    target_ms, metric = float(settings.get("latency_ms", 0.0)), catalogue.metric_of(settings.get("task", ""))

    def build() -> "go.Figure":
        return pareto_figure(view.trials, view.front, target_ms, metric, selected=selected, dark=dark, over=view.run.over)

    figure = shared(view, build, CHART_KEY, selected, dark)
    chart(
        figure,
        CHART_KEY,
        f"Accuracy against latency in milliseconds of {wording.plural(len(view.trials), 'trial')}: {summary.tally(view.trials)}.",
        rows=lambda: summary.trial_rows(view.trials),
        on_select=_select_point,
        selection_mode="points",
    )
    st.caption(_chart_note(view))


def _chart_note(view: Snapshot) -> str:
    unplaced = sum(trial.latency_ms is None for trial in view.trials)
    source = summary.sources(view.trials)
    settings = view.run.settings
    note = f"Latency: batch 1, {settings.get('seq_len', 128)} tokens" + (
        f", {source} on {settings.get('device')}" if source else ""
    )
    note += f". Bars: {summary.interval(view.trials)}. Click a point for its details."
    return note + (f" {wording.plural(unplaced, 'trial')} without a latency: only in the table." if unplaced else "")


def table(trials: Sequence[Trial], selected: int | None) -> None:
    """All trials, one row each. A click on a row puts the trial into the URL."""
    if not trials:
        st.caption("No trials yet. The first candidate appears here as soon as it is proposed.")
        return
    numbers = tuple(trial.trial for trial in trials)
    row = numbers.index(selected) if selected in numbers else None
    epoch = st.session_state.setdefault("table_epoch", 0)
    key = f"trials-{epoch}"
    st.dataframe(
        summary.trial_rows(trials),
        key=key,
        hide_index=True,
        height=min(TABLE_ROWS_PX, 38 + 35 * len(trials)),
        placeholder=wording.NONE,
        on_select=lambda: _select_row(key, numbers),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [] if row is None else [row]}},
        column_config={
            "Trial": st.column_config.NumberColumn(width=50),
            "Architecture": st.column_config.TextColumn(width="medium"),
            "Latency (ms)": st.column_config.NumberColumn(format="%.2f"),
            "Accuracy": st.column_config.NumberColumn(format="%.3f", help="Early-stage, on held-out training data."),
            "Final accuracy": st.column_config.NumberColumn(format="%.3f", help="After full training, on the development set."),
            "Reward": st.column_config.NumberColumn(format="%.3f", help="What the controller learns from (CANAO section 3.3)."),
            "Reason": st.column_config.TextColumn(width="large", help="Why the trial has no accuracy."),
        },
        alt="Table of all trials of this run",
    )


def _select_point() -> None:
    points = st.session_state[CHART_KEY]["selection"]["points"]
    if points and points[0].get("customdata"):
        st.query_params["trial"] = str(points[0]["customdata"][0])
        st.session_state["table_epoch"] = st.session_state.get("table_epoch", 0) + 1


def _select_row(key: str, numbers: tuple[int, ...]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        st.query_params["trial"] = str(numbers[rows[0]])
    else:
        st.query_params.pop("trial", None)


def details(view: Snapshot, trial: Trial, compiled: Mapping[str, Any] | None, *, best: bool) -> None:
    """One trial: its numbers, why it was dropped, its layers, and what the compiler made of it."""
    metric = catalogue.metric_of(view.run.settings.get("task", ""))
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Trial {trial.trial}**", width="content")
            st.badge(summary.label(trial.status), color=STATUS_COLORS.get(trial.status, "blue"))
            if best:
                st.badge("Best within target", color="green", icon=":material/trophy:")
        st.code(trial.architecture, language=None, wrap_lines=True)
        if trial.reason:
            st.markdown(f"**{REASONS.get(trial.status, 'Note')}:** {wording.markdown(trial.reason)}")
        st.table(_facts(trial, metric), border="horizontal", hide_header=True, alt=f"Trial {trial.trial} in numbers")
        _elsewhere(view, trial)
        seq_len = int(view.run.settings.get("seq_len", 128))
        folded("Layer by layer", lambda: _layers(trial.architecture, seq_len))
        if compiled:
            folded("Compiled form", lambda: _compiled(compiled))


def _elsewhere(view: Snapshot, trial: Trial) -> None:
    """The same trial on other pages: beside the best one, or where it is the best beside the default teacher; and its fusion."""
    best = view.best
    other = f"{best.run_id}/{best.trial}" if best is not None and best.trial != trial.trial else "minilm-l6"
    with st.container(horizontal=True):
        st.page_link(
            "views/compare.py", label="Compare", icon=":material/compare_arrows:", help=f"Side by side with {other}.",
            query_params={"models": [f"{trial.run_id}/{trial.trial}", other]},
        )  # fmt: skip
        st.page_link(
            "views/fusion.py", label="Its fusion", icon=":material/account_tree:", help="What layer fusion makes of it, block by block.",
            query_params={"run": trial.run_id, "trial": str(trial.trial)},
        )  # fmt: skip


PHASES = {0: "none: layers and sizes at once", 1: "1 (layers)", 2: "2 (hidden and FFN sizes)"}
REASONS = {"over_limit": "Why it was dropped", "failed": "Why it failed", "cancelled": "Why it ended"}
STATUS_COLORS: dict[str, wording.BadgeColor] = {"trained": "blue", "over_limit": "orange", "failed": "red", "cancelled": "gray"}


def _facts(trial: Trial, metric: str) -> dict[str, str]:
    """The trial in numbers, by name."""
    latency = wording.latency(trial.latency_ms)
    return {
        "Latency" if trial.latency_source == "predicted" else "Latency, median": f"{latency}, {trial.latency_source}"
        if trial.latency_source
        else latency,
        wording.interval(trial.latency_source): wording.spread(trial.latency_p10_ms, trial.latency_p90_ms) or wording.NONE,
        f"Early-stage {metric}": wording.accuracy(trial.accuracy),
        f"Final {metric}": wording.accuracy(trial.final_accuracy),
        "Reward": wording.NONE if trial.reward is None else f"{trial.reward:+.3f}",
        "Parameters": wording.count(trial.parameters),
        "FLOPs": wording.count(trial.flops),
        "Search phase": PHASES[trial.phase],
    }


def folded(label: str, draw: Callable[[], object]) -> None:
    """A part that is drawn when it is unfolded and not before: a browser works for a folded table as for one that is seen."""
    part = st.expander(label, key=f"folded {label}", on_change="rerun")
    if part.open:
        with part:
            draw()


def _layers(written: str, seq_len: int) -> None:
    try:
        rows = layers.parts(Architecture.parse(written), seq_len)
    except ModelError as error:
        st.caption(wording.markdown(str(error)))
        return
    st.dataframe(
        [
            {"Part": part.name, "Sizes": part.sizes, "Parameters (M)": part.parameters / 1e6, "MFLOPs": part.flops / 1e6}
            for part in rows
        ],
        hide_index=True,
        height=min(320, 38 + 35 * len(rows)),
        column_config={
            "Parameters (M)": st.column_config.NumberColumn(format="%.2f"),
            "MFLOPs": st.column_config.NumberColumn(format="%.1f", help=f"2 x multiply-accumulates at {seq_len} tokens."),
        },
        alt="The parts of this architecture with their sizes",
    )


def _compiled(result: Mapping[str, Any]) -> None:
    facts = {name: text(result[key]) for key, name, text in COMPILED_FACTS if isinstance(result.get(key), int | float)}
    st.table(facts, border="horizontal", hide_header=True, alt="The compiled model in numbers")
    blocks = result.get("blocks") or []
    if blocks:
        st.dataframe([_block_row(block) for block in blocks], hide_index=True, alt="Fused blocks of the compiled model")


COMPILED_FACTS = (
    ("kernels", "Kernels", str),
    ("kernels_compiled", "Compiled now, not cached", str),
    ("compile_s", "Compile time", lambda value: f"{value:.1f} s"),
    ("max_abs_error", "Max. difference from torch", lambda value: f"{value:.2g}"),
)


def _block_row(block: Mapping[str, Any]) -> dict[str, Any]:
    members = block.get("members", [])
    return {
        "Fused block": block.get("name", ""),
        "Members": ", ".join(map(str, members)) if isinstance(members, list) else str(members),
        "Rule": block.get("law") or block.get("rule") or "",
        "MB before": block.get("bytes_before", 0) / 1e6,
        "MB after": block.get("bytes_after", 0) / 1e6,
    }


def course(view: Snapshot) -> None:
    """How the search went: one of three figures, of which the URL keeps the choice and only that one is drawn."""
    st.subheader("Course of the search")
    views = {"steps": "Reward and accuracy", "policy": "Policy", "timeline": "Timeline"}
    if not view.policies:
        del views["policy"]  # a strategy without probabilities
    chosen = st.segmented_control(
        "Figure", list(views), format_func=views.__getitem__, key="course", default="steps", required=True, bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    {"steps": _steps, "policy": _policy, "timeline": _timeline}[chosen](view)


def _steps(view: Snapshot) -> None:
    from app.steps_figure import steps_figure

    metric, dark = catalogue.metric_of(view.run.settings.get("task", "")), st.context.theme.type == "dark"
    figure = shared(view, lambda: steps_figure(view.trials, metric, dark=dark), "steps", dark)
    chart(
        figure,
        "steps",
        "Reward and accuracy of each trial, with the best accuracy so far.",
        rows=lambda: summary.trial_rows(view.trials),
    )
    st.caption(
        "Reward: what the strategy is told (CANAO section 3.3). Over the target it is below -1, and the candidate is not trained; "
        "within it, how much more accurate than the average so far, plus the share of the target used."
    )


def _policy(view: Snapshot) -> None:
    """What the policy would choose, trial by trial."""
    from app.policy_figure import entropy_text, policy_figure

    what = "Probability of each option of each decision after each trial, given the options that the trial took before it."
    dark = st.context.theme.type == "dark"
    chart(shared(view, lambda: policy_figure(view.policies, dark=dark), "policy", dark), "policy", what)
    st.caption(f"{what} {entropy_text(view.policies)}")


def _timeline(view: Snapshot) -> None:
    from app.timeline_figure import bars, share_text, timeline_figure

    drawn = bars(view.timeline, datetime.now(UTC), _zone())
    if not drawn:
        st.caption("No worker has begun anything yet, or the run was made before beginnings were kept.")
        return
    what = f"What each worker did when: the newest {wording.plural(len(drawn), 'command')}."
    chart(
        timeline_figure(drawn, dark=st.context.theme.type == "dark"), "timeline", what,
        rows=lambda: [
            {"worker": bar.worker, "kind": bar.kind, "trial": bar.trial, "begun": bar.begun, "seconds": bar.seconds, "status": bar.status}
            for bar in drawn
        ],
    )  # fmt: skip
    st.caption(f"{what} {share_text(drawn)}")


def log(events: Sequence[Event]) -> None:
    """The newest lines of the run's log, newest first, in the browser's time zone."""
    zone = _zone()
    lines = [_line(event, zone) for event in summary.log_events(events)]
    height: int | Literal["content"] = LOG_PX if len(lines) > LOG_LINES_UNSCROLLED else "content"
    st.code("\n".join(lines) or "Nothing yet.", language=None, height=height, wrap_lines=True)


def _line(event: Event, zone: tzinfo) -> str:
    return f"{wording.in_utc(event.at).astimezone(zone):%H:%M:%S}  {LEVELS.get(event.level, '')}{summary.titled(event)}"


def _zone() -> tzinfo:
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def settings(run: Run) -> None:
    """Everything that the run was asked for."""
    rows = [{"Setting": name, "Value": str(value)} for name, value in run.settings.items() if value not in (None, [], ())]
    height = min(320, 38 + 35 * len(rows))
    folded("Settings of this run", lambda: st.dataframe(rows, hide_index=True, height=height, alt="Settings of this run"))
