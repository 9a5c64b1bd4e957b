"""Which trials the Explore page is about. Every choice is a widget bound to the URL, so that a link shows what its sender saw."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import summary, wording
from app.explore import asking
from data.explore import Chosen, Overview, Range, Subject

URL: Literal["query-params"] = "query-params"
STATUSES = ("trained", "over_limit", "failed", "cancelled", "running")
FIELDS = {  # field of Chosen: (label, overview's field, format, step)
    "latency_ms": ("Latency (ms)", "latency", "%.2f", 0.01),
    "accuracy": ("Accuracy", "accuracy", "%.3f", 0.001),
    "layers": ("Layers", "layers", "%d", 1),
    "hidden_size": ("Hidden size", "hidden", "%d", 1),
    "ffn_mean": ("Mean FFN size", "ffn", "%d", 1),
}


def ask_subject(subjects: list[Subject], columns: Sequence[DeltaGenerator]) -> Subject:
    """The task and the device, in the first two columns; the newest run's unless the URL says otherwise."""
    tasks = list(dict.fromkeys(each.task for each in subjects))
    task = columns[0].selectbox("Task", tasks, key="task", format_func=wording.task, bind=URL)
    devices = [each for each in subjects if each.task == task]
    device = columns[1].selectbox(
        "Device",
        [each.device for each in devices],
        key="device",
        bind=URL,
        help="Latencies of different devices do not compare.",
    )
    return next((each for each in devices if each.device == device), devices[0])


def ask_chosen(subject: Subject, columns: Sequence[DeltaGenerator]) -> tuple[Chosen, Overview]:
    """What is to be shown, and the overview of all trials of those runs, before the ranges narrow them."""
    runs = asking.ask(subject, "runs", subject.task, subject.device)
    asked = columns[0].multiselect(
        "Runs",
        [run_id for run_id, _, _ in runs],
        key="runs",
        placeholder="All runs",
        bind=URL,
        help="The newest runs of this task and device.",
    )
    statuses = columns[1].multiselect(
        "Status", STATUSES, key="status", placeholder="Any status", format_func=summary.label, bind=URL
    )
    chosen = Chosen(subject.task, subject.device, tuple(asked), tuple(statuses))
    overview: Overview = asking.ask(subject, "overview", chosen)
    ranges = ask_ranges(overview)
    return replace(chosen, **ranges), overview


def ask_ranges(overview: Overview) -> dict[str, Any]:
    """The ranges that leave something out, by field."""
    narrowed: dict[str, Range] = {}
    with st.expander("Filter by latency, accuracy and sizes", icon=":material/filter_alt:"):
        columns = st.columns(3)
        for index, (field, (label, name, shown, step)) in enumerate(FIELDS.items()):
            low, high = getattr(overview, f"{name}_low"), getattr(overview, f"{name}_high")
            if low is None or low == high:
                continue
            low, high = _rounded(low, high, step)
            kept = columns[index % 3].slider(label, low, high, (low, high), step, format=shown, key=field, bind=URL)
            if kept != (low, high):
                narrowed[field] = kept
        if not narrowed:
            st.caption("Nothing is left out. A range leaves out trials without a value there.")
    return narrowed


def _rounded(low: Any, high: Any, step: float) -> tuple[Any, Any]:
    """The ends outwards to whole steps, so that nothing is left out by rounding."""
    if step == 1:
        return int(low), int(high) + (high > int(high))
    return (int(low / step)) * step, (int(high / step) + 1) * step
