"""The Run page: one search, live. The URL names the run (`?run=`) and the trial shown (`&trial=`); all else is in the store."""

from functools import partial
from pathlib import Path

import streamlit as st

from app import controls, health, panels, recent, source, summary, wording
from app.guard import shown_plainly
from app.source import Snapshot
from compiler.quiet import busy
from data.errors import PocketformerError
from data.records import ArtifactRef

REFRESH_S = 2.0
STYLE = Path(__file__).with_name("run.css")


def page() -> None:
    run_id = st.query_params.get("run")
    if not run_id:
        st.title("Run")
        st.caption("Watch one search: progress, accuracy against latency, and the compiled model at its end.")
        st.info("Choose a run, or start one on the Search page.", icon=":material/arrow_downward:")
        recent.runs_list()
        return
    try:
        view = source.snapshot(run_id)
    except PocketformerError as error:
        st.title("Run")
        st.error(wording.markdown(str(error)), icon=":material/error:")
        recent.runs_list()
        return
    st.html(STYLE)
    heading(view)
    st.fragment(shown_plainly()(live), run_every=None if view.run.over else REFRESH_S)(run_id)


def heading(view: Snapshot) -> None:
    """What is searched, and what to do about it: download, and the run's controls."""
    run = view.run
    title, action = st.columns([4, 1], vertical_alignment="bottom")
    name = f"{wording.task(run.settings.get('task', ''))} on {', '.join(view.devices)}"
    title.title(wording.markdown(name))
    for bundle in view.bundles:
        whose = f" for {view.device_of(bundle)}" if len(view.devices) > 1 else ""
        with action:
            st.download_button(
                f"Download bundle{whose} ({wording.megabytes(bundle.size)})",
                data=partial(bundle_bytes, bundle),
                file_name=bundle.name,
                mime="application/zip",
                on_click="ignore",
                type="primary",
                icon=":material/download:",
                width="stretch",
                help="The compiled model with weights, tokenizer, header, bench program and README.",
            )
    controls.row(run)


def bundle_bytes(bundle: ArtifactRef) -> bytes:
    """The bundle, read when the button is clicked and not before: a rerun costs nothing."""
    from data.artifacts import Artifacts

    with Artifacts().open(bundle.sha256) as file:
        return file.read()


def live(run_id: str) -> None:
    """All that changes while the run goes on. A fragment: it runs again by itself until the run is over.

    Drawing loads the cores too, here and in a browser beside it, so it waits while a latency of this machine is taken.
    """
    with busy():
        draw(run_id)


def draw(run_id: str) -> None:
    """The run as the store has it now, or a word on why it cannot be read."""
    try:
        view = source.snapshot(run_id)
    except PocketformerError as error:
        st.warning(f"{wording.markdown(str(error))} Trying again.", icon=":material/cloud_off:")
        return
    remember(view)
    if len(view.devices) > 1 and (device := shown_device(list(view.devices))) != next(iter(view.devices)):
        view = source.snapshot_on(run_id, device)
    facts(view)
    panels.outcome(view)
    health.stalled(view)
    panels.numbers(view)
    panels.progress(view)
    selected = selected_trial(view)
    best = view.best
    shown = next((trial for trial in view.trials if trial.trial == selected), best) or summary.notable_trial(view.trials)
    chart, card = st.columns([3, 2])
    with chart:
        panels.front(view, shown.trial if shown else None)
    with card:
        if shown is None:
            st.info(
                "Details of the best candidate appear here. Click a point or a row to see another.", icon=":material/touch_app:"
            )
        else:
            panels.details(view, shown, source.compiled(run_id, shown.trial), best=best is shown)
            controls.drop(view.run, shown)
    st.subheader("Trials")
    panels.table(view.trials, selected)
    panels.course(view)
    st.subheader("Log", help="The newest line is at the top.")
    panels.log(view.events)
    panels.settings(view.run)


def shown_device(devices: list[str]) -> str:
    """Whose latencies are shown; the URL keeps it (`&on=`)."""
    named = st.query_params.get("on", "")

    def keep() -> None:
        st.query_params["on"] = st.session_state["on"]

    chosen: str = st.segmented_control(
        "Latency on", devices, default=named if named in devices else devices[0], key="on", required=True, on_change=keep,
        help="The run is for several devices: a candidate has to meet the target of each.",
    )  # fmt: skip
    return chosen


def facts(view: Snapshot) -> None:
    """One line under the title: status, target and how the search was asked for."""
    run, settings = view.run, view.run.settings
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        panels.badge(run)
        asked = (
            f"target {wording.target(settings.get('latency_ms', 0.0))}",
            f"teacher {settings.get('teacher')}",
            f"strategy {settings.get('strategy')}",
            f"seed {settings.get('seed')}",
            f"started {wording.since(run.created_at)}",
            f"run {run.run_id}",
        )
        st.caption(wording.markdown(" · ".join(asked)), width="content")


def remember(view: Snapshot) -> None:
    """Run the whole page again when the status has changed: its heading offers something else, and an ended run stops polling."""
    key = f"status of {view.run.run_id}"
    before = st.session_state.get(key)
    st.session_state[key] = view.run.status
    if before not in (None, view.run.status):
        st.rerun()


def selected_trial(view: Snapshot) -> int | None:
    """The trial that the URL names, if this run has it."""
    text = st.query_params.get("trial", "")
    number = int(text) if text.isdecimal() else None
    return number if any(trial.trial == number for trial in view.trials) else None


page()
