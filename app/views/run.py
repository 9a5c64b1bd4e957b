"""The Run page: one search, live. The URL names the run (`?run=`) and the trial shown (`&trial=`); all else is in the store."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from app import controls, health, live, panels, recent, source, summary, wording
from app.guard import shown_plainly
from app.source import Snapshot
from compiler.quiet import busy
from data.errors import PocketformerError
from data.records import ArtifactRef

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

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
    if len(view.devices) > 1:
        ask_device(list(view.devices))
    status, charts, log = st.container(), st.container(), st.container()
    with charts:
        st.fragment(part(candidates))(run_id)
    log.subheader("Log", help="The newest line is at the top.")
    with status:
        st.fragment(part(partial(now, log)), run_every=live.poll_s(view))(run_id)
    st.fragment(panels.settings)(view.run)


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


def part(draw: Callable[[Snapshot], None]) -> Callable[[str], None]:
    """A fragment that draws one part of the page from the run as the store has it now, or a word on why it cannot be read.

    Drawing loads the cores too, here and in a browser beside it, so it waits while a latency of this machine is taken.
    """

    @shown_plainly()
    def drawn(run_id: str) -> None:
        with busy():
            try:
                view = source.snapshot(run_id)
                device = shown_device(list(view.devices))
                if device != next(iter(view.devices)):
                    view = source.snapshot_on(run_id, device)
            except PocketformerError as error:
                st.warning(f"{wording.markdown(str(error))} Trying again.", icon=":material/cloud_off:")
                return
            draw(view)

    return drawn


def now(log: "DeltaGenerator", view: Snapshot) -> None:
    """What changes from second to second, and is cheap to draw: one fragment, as a browser pays for each rerun whatever it changes. It looks
    whether the rest has become old."""
    facts(view)
    panels.outcome(view)
    health.stalled(view)
    panels.numbers(view)
    panels.progress(view)
    with log:
        panels.log(view.events)
    drawn = f"drawn {view.run.run_id}"
    if st.session_state.get(drawn) not in (None, live.step_of(view)):
        st.session_state[drawn] = live.step_of(view)
        st.rerun()  # all: a changed status changes the heading too, and an ended run polls no more
    live.drawn(view)


def candidates(view: Snapshot) -> None:
    """Charts and tables of the trials. Drawn when the search has taken a step, not with every line of the log: twenty browsers on one run must
    not keep the server busy with drawing the same again."""
    st.session_state[f"drawn {view.run.run_id}"] = live.step_of(view)
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
            panels.details(view, shown, source.compiled(view.run.run_id, shown.trial), best=best is shown)
            controls.drop(view.run, shown)
    st.subheader("Trials")
    panels.table(view.trials, selected)
    panels.course(view)


def ask_device(devices: list[str]) -> None:
    """Whose latencies are shown; the URL keeps it (`&on=`)."""

    def keep() -> None:
        st.query_params["on"] = st.session_state["on"]

    st.segmented_control(
        "Latency on", devices, default=shown_device(devices), key="on", required=True, on_change=keep,
        help="The run is for several devices: a candidate has to meet the target of each.",
    )  # fmt: skip


def shown_device(devices: list[str]) -> str:
    """The one in the URL, else the first."""
    named = st.query_params.get("on", "")
    return named if named in devices else devices[0]


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


def selected_trial(view: Snapshot) -> int | None:
    """The trial that the URL names, if this run has it."""
    text = st.query_params.get("trial", "")
    number = int(text) if text.isdecimal() else None
    return number if any(trial.trial == number for trial in view.trials) else None


page()
