"""The list of recent runs, on the Search page and wherever a run must be chosen."""

import streamlit as st

from app import catalogue, source, summary, theme, wording
from app.sparkline import WIDTH_PX, sparkline
from data.errors import StoreError
from data.records import Run, Trial


def runs_list() -> None:
    """Newest first, each with status, best accuracy so far as a line, the best candidate, and a link."""
    try:
        runs = source.recent_runs()
    except StoreError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return
    if not runs:
        st.caption("No runs yet. Press Start to begin the first.")
    for run, trials in runs:
        _entry(run, trials)


def _entry(run: Run, trials: tuple[Trial, ...]) -> None:
    label, color, icon = wording.RUN_STATES[run.status]
    settings = run.settings
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            title = f"{wording.task(settings.get('task', ''))} on {settings.get('device')}, {wording.target(settings.get('latency_ms', 0.0))}"
            st.page_link(
                "views/run.py", label=f"**{wording.markdown(title)}**", query_params={"run": run.run_id},
                icon=":material/arrow_forward:", icon_position="right",
            )  # fmt: skip
            with st.container(horizontal=True, width="content", vertical_alignment="center"):
                if line := sparkline(trials, theme.BLUE if st.context.theme.type != "dark" else theme.SKY):
                    st.image(line, width=WIDTH_PX, alt="Best accuracy so far, trial by trial")
                st.badge(label, color=color, icon=icon)
        st.caption(_result(run, trials))


def _result(run: Run, trials: tuple[Trial, ...]) -> str:
    best = summary.best_trial(run, trials)
    state = summary.progress(run, trials)
    when = f"{wording.plural(state.finished, 'trial')} of {state.total} · {wording.since(run.created_at)}"
    if best is None:
        return f"No candidate within the target yet · {when}" if not run.over else f"No candidate within the target · {when}"
    score = best.accuracy if best.final_accuracy is None else best.final_accuracy
    metric = catalogue.metric_of(run.settings.get("task", ""))
    source = "" if best.latency_source in (None, "measured") else f", {best.latency_source}"
    return f"{metric} **{wording.accuracy(score)}** at **{wording.latency(best.latency_ms)}**{source} · {when}"
