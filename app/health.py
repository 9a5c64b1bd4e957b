"""Whether anything works on runs: told from signs of life in the store, and from whether a server of the store is up."""

import json
import os
from datetime import UTC, datetime

import streamlit as st

from app import source, wording
from app.source import Snapshot
from data.errors import StoreError
from data.home import home

SILENT_S = 45.0  # a worker's heartbeat is younger than 30 s
HOW = "Start the workers with `pocketformer serve`"


def silence_s(view: Snapshot, now: datetime | None = None) -> float:
    """Seconds since the last sign of life of a run: a step, a line of its log, or a worker's heartbeat."""
    signs = [view.run.created_at, view.run.updated_at, *(event.at for event in view.events[-1:])]
    signs += [command.heartbeat_at for command in view.working if command.heartbeat_at is not None]
    return ((now or datetime.now(UTC)) - max(wording.in_utc(sign) for sign in signs)).total_seconds()


def served() -> bool:
    """Whether this page reads a store that `serve` runs, here or on another machine; alone, the page has no workers."""
    if os.environ.get("STORE_URL", "local") != "local":
        return True
    try:
        os.kill(json.loads((home() / "store.json").read_text())["pid"], 0)
    except (OSError, ValueError, KeyError):
        return False
    return True


def stalled(view: Snapshot) -> None:
    """Says so when nothing works on a run that is not over."""
    if not view.run.over and view.run.status != "paused" and (quiet_s := silence_s(view)) > SILENT_S:
        resume = f"`pocketformer search --resume {view.run.run_id}`"
        st.warning(
            f"Nothing has worked on this run for {wording.seconds(quiet_s)}. {HOW}, or go on with {resume}.",
            icon=":material/power_off:",
        )


def note() -> None:
    """Under Start: a word when a search started now would wait for its workers."""
    try:
        waiting = [run for run, _ in source.recent_runs() if not run.over and run.status != "paused"]
        silent = bool(waiting) and min(silence_s(source.snapshot(run.run_id)) for run in waiting) > SILENT_S
    except StoreError:
        return  # the list of runs shows what is wrong
    if silent or not served():
        st.caption(f":material/power_off: No workers are running here: a search waits until they are. {HOW}.")
