"""What a user may ask of a run: pause, resume, more trials, cancel, drop a candidate, the same again with changes."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import source, wording
from data.errors import PocketformerError
from data.records import Run, Trial

MORE_TRIALS = 8  # that are offered to be added
LARGEST_BUDGET = 10_000


def row(run: Run) -> None:
    """The buttons of one run, in the order in which they are likely wanted."""
    with st.container(horizontal=True, gap="small"):
        if run.status == "running" and st.button("Pause", icon=":material/pause:", help=PAUSE_HELP):
            _ask(run.run_id, "pause", "Pausing: work under way goes back into the queue.")
        if run.status == "paused" and st.button("Resume", icon=":material/play_arrow:", type="primary"):
            _ask(run.run_id, "resume", "Resuming.")
        if run.status != "cancelling":
            _extend(run)
        st.page_link(
            "views/search.py", label="Rerun with changes", icon=":material/replay:", query_params={"like": run.run_id},
            help="The Search page, filled in with the settings of this run.",
        )  # fmt: skip
        if run.status in ("running", "paused"):
            _cancel(run.run_id)


PAUSE_HELP = "Proposes nothing more and frees the workers. Training goes on from its last checkpoint when you resume."


def drop(run: Run, trial: Trial) -> None:
    """Takes a candidate out of the search; offered where that changes something."""
    if run.over or run.status == "cancelling" or trial.status not in ("proposed", "running", "trained"):
        return
    with st.popover("Drop this candidate", icon=":material/remove_circle:"):
        st.markdown("Stops its work and takes it out of the choice of the best. What is known of it is kept.")
        reason = st.text_input("Why (optional)", key=f"reason of {trial.trial}", max_chars=200)
        if st.button("Yes, drop it", type="primary", width="stretch", key=f"drop {trial.trial}"):
            _ask(run.run_id, "drop", f"Dropping trial {trial.trial}.", {"trial": trial.trial, "reason": reason.strip()})


def _extend(run: Run) -> None:
    before = int(run.settings.get("trials", 0))
    with st.popover("More trials", icon=":material/add:", help="Extend the budget, also of a run that is over: it goes on."):
        trials = st.number_input(
            "Trials in all", min_value=before + 1, max_value=max(LARGEST_BUDGET, before + 1), value=before + MORE_TRIALS, step=1
        )
        if st.button("Extend", type="primary", width="stretch"):
            _ask(run.run_id, "extend", f"Extending to {trials} trials.", {"trials": int(trials)})


def _cancel(run_id: str) -> None:
    with st.popover("Cancel run", icon=":material/stop_circle:"):
        st.markdown("Stop this run? Trials that are over are kept; work under way is lost.")
        if st.button("Yes, cancel it", type="primary", width="stretch"):
            try:
                source.store().request_cancel(run_id)
            except PocketformerError as error:
                st.error(wording.markdown(str(error)))
                return
            source.forget()
            st.rerun()


def _ask(run_id: str, kind: str, said: str, values: Mapping[str, Any] | None = None) -> None:
    """Leaves the request in the store, for the run's next step, and says so."""
    try:
        source.store().ask(run_id, kind, values)
    except PocketformerError as error:
        st.error(wording.markdown(str(error)))
        return
    source.forget()
    st.toast(said, icon=":material/schedule_send:")
