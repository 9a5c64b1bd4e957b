"""The Settings page: how pages look, what lies on the disk, and the removal of runs and caches."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import streamlit as st

from app import preferences, source, wording
from app.guard import shown_plainly
from data.errors import PocketformerError
from data.home import home
from data.records import Run
from data.removal import CACHES, Usage, clear_cache, orphans, remove_orphans, remove_run, usage

MOST_RUNS = 200
FRESH_S = 10.0


def page() -> None:
    st.title("Settings")
    st.caption("How the pages look, and what Pocketformer keeps on this machine.")
    looks()
    st.fragment(shown_plainly()(disk))()
    with st.expander("Help", icon=":material/help:"):
        st.markdown(
            "Preferences are kept on this machine and hold for every browser. Removing a run takes its trials, its log, its scratch files and "
            "those of its artifacts that no other run has; its measured latencies stay, as facts about the device. A run under way is cancelled "
            "first. Caches only save time: what they held is made again when it is needed."
        )


def looks() -> None:
    st.subheader("Appearance")
    now = preferences.current()
    columns = st.columns(3)
    with columns[0]:
        st.markdown(f"**Theme:** {st.context.theme.type or 'light'}")
        st.caption("Follows your system. The menu at the top right, Settings, sets it for this browser.")
    sizes = columns[1].segmented_control(
        "Unit of sizes", preferences.SIZES, default=now.sizes, required=True, help="MB: 10^6 bytes. MiB: 2^20 bytes."
    )
    pictures = columns[2].segmented_control(
        "Figures are saved as", preferences.PICTURES, default=now.pictures, required=True, format_func=str.upper,
        help="By the camera above each figure. Numbers are saved as CSV by the button below it.",
    )  # fmt: skip
    chosen = replace(now, sizes=sizes, pictures=pictures)
    if chosen != now:
        preferences.keep(chosen)
        st.rerun()


@st.cache_resource(show_spinner="Looking at the disk", ttl=FRESH_S)
def _usage(_folder: str) -> Usage:
    return usage()


def disk() -> None:
    """What each kind of file takes, and buttons to be rid of it."""
    found = _usage(str(home()))
    store = source.store()
    runs = store.runs(limit=MOST_RUNS)
    stray = orphans(store, found)
    stray_bytes = sum(found.artifacts[each] for each in stray[0]) + sum(found.scratch[each] for each in stray[1])
    st.subheader("Disk")
    st.caption(f"All of it lies in `{home()}`.")
    with st.container(horizontal=True, gap="medium"):
        for label, size in (
            ("Store", found.store),
            ("Artifacts", sum(found.artifacts.values())),
            ("Scratch files of runs", sum(found.scratch.values())),
            ("Caches", sum(found.caches.values())),
        ):
            st.metric(label, wording.megabytes(size), width=180)
    _runs(runs, found)
    _caches(found, stray_bytes, under_way=bool(store.open_runs()))


def _runs(runs: list[Run], found: Usage) -> None:
    st.subheader("Runs")
    if not runs:
        st.caption("No runs yet.")
        return
    names = {run.run_id: _title(run) for run in runs}
    st.dataframe(
        [
            {
                "Run": run.run_id,
                "What": _what(run),
                "Status": wording.RUN_STATES[run.status][0],
                "Started": wording.since(run.created_at),
                f"Scratch ({preferences.current().sizes})": float(wording.megabytes(found.scratch.get(run.run_id, 0)).split()[0]),
            }
            for run in runs
        ],
        hide_index=True, height=min(300, 38 + 35 * len(runs)), alt="Runs of this store, with their disk use",
    )  # fmt: skip
    chosen = st.multiselect("Runs to remove", list(names), format_func=names.__getitem__, placeholder="Choose runs")
    active = [run.run_id for run in runs if run.run_id in chosen and not run.over]
    if active:
        st.warning(
            f"{wording.plural(len(active), 'run')} under way: cancel first, on the Run page.", icon=":material/hourglass_top:"
        )
    if chosen:
        label = f"Remove {wording.plural(len(chosen), 'run')}"
        _confirmed(
            label, "This cannot be undone. Bundles that you have downloaded stay yours.", bool(active), partial(_remove, chosen)
        )


def _remove(run_ids: list[str]) -> int:
    return sum(remove_run(source.store(), run_id) for run_id in run_ids)


def _caches(found: Usage, stray_bytes: int, *, under_way: bool) -> None:
    st.subheader("Caches")
    if under_way:
        st.caption("A search is under way, so nothing can be cleared now.")
    for name, size in found.caches.items():
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{name}**, {wording.megabytes(size)}: {CACHES.get(name, 'made again when needed')}", width="content")
            _confirmed(
                f"Clear {name}",
                "What it held is made again when it is needed.",
                under_way,
                partial(clear_cache, source.store(), name),
            )
    if stray_bytes:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**files of no run**, {wording.megabytes(stray_bytes)}: left by removals or crashes", width="content")
            _confirmed(
                "Remove files of no run",
                "They belong to no run of this store.",
                under_way,
                partial(remove_orphans, source.store()),
            )


def _confirmed(label: str, warning: str, disabled: bool, act: Callable[[], int]) -> None:
    """A button that asks once more before it does what it says."""
    with st.popover(label, icon=":material/delete:", disabled=disabled):
        st.markdown(warning)
        if st.button("Yes", type="primary", width="stretch", key=f"yes, {label}"):
            try:
                freed = act()
            except PocketformerError as error:
                st.error(wording.markdown(str(error)))
                return
            _usage.clear()
            source.forget()
            st.toast(f"{wording.megabytes(freed)} freed", icon=":material/check:")
            st.rerun()


def _what(run: Run) -> str:
    settings = run.settings
    return f"{wording.task(settings.get('task', ''))} on {settings.get('device')}, {wording.target(settings.get('latency_ms', 0.0))}"


def _title(run: Run) -> str:
    return f"{run.run_id}: {_what(run)}"


page()
