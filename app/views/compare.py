"""The Compare page: two to six architectures side by side. Which ones, on which devices, is in the URL."""

import csv
import io

import streamlit as st

from app import catalogue, drawing, wording
from app.compare import facts, figures
from app.compare.entries import Entry, ask_entries
from app.explore.filters import URL
from app.explore.trials import CONFIG, dark
from compiler.precisions import PRECISIONS
from data.errors import PocketformerError
from engine.prediction.many import KernelTime, kernel_times

A_ROW = 3  # architectures drawn side by side


def page() -> None:
    st.title("Compare")
    st.caption(
        "A few architectures side by side: what they are made of, how accurate they are, how fast, and where the time goes."
    )
    entries = ask_entries()
    columns = st.columns([3, 1])
    devices = columns[0].multiselect(
        "Devices", catalogue.devices(), default=catalogue.devices()[:3], key="devices", bind=URL, max_selections=8
    )
    precision = columns[1].selectbox("Precision", PRECISIONS, key="precision", bind=URL)
    if len({entry.title for entry in entries}) < len(entries):
        entries = list({entry.title: entry for entry in entries}.values())
    if not entries:
        st.info("Choose two to six architectures.", icon=":material/compare_arrows:")
        return
    drawn(entries)
    st.subheader("In numbers")
    st.table(facts.sizes(entries), border="horizontal", alt="Sizes, parameters, FLOPs, kernels and memory of each architecture")
    latency(entries, devices, precision)
    accuracy(entries)
    kernels(entries, devices, precision)
    with st.expander("What this page shows", icon=":material/help:"):
        st.markdown(HELP)


def drawn(entries: list[Entry]) -> None:
    """Each architecture layer by layer, all on one scale."""
    widest = max(max(*entry.architecture.ffn_sizes, entry.architecture.hidden_size) for entry in entries)
    deepest = max(entry.architecture.layers for entry in entries)
    for first in range(0, len(entries), A_ROW):
        row = entries[first : first + A_ROW]
        for index, (column, entry) in enumerate(zip(st.columns(A_ROW), row, strict=False)):
            with column:
                st.markdown(f"**{wording.markdown(entry.title)}**")
                st.caption(wording.markdown(entry.written))
                st.plotly_chart(
                    drawing.layers_figure(entry.architecture, widest, deepest, dark=dark()), key=f"drawn-{first + index}", config=CONFIG,
                    alt=f"Hidden size and FFN size of each layer of {entry.written}.",
                )  # fmt: skip
                if entry.trial is not None:
                    st.page_link(
                        "views/run.py", label="In its run", icon=":material/scatter_plot:",
                        query_params={"run": entry.trial.run_id, "trial": str(entry.trial.trial)},
                    )  # fmt: skip


def latency(entries: list[Entry], devices: list[str], precision: str) -> None:
    st.subheader("Latency")
    if not devices:
        st.caption("Choose a device.")
        return
    try:
        rows = facts.latencies(entries, devices, precision)
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return
    st.plotly_chart(
        figures.latency_figure(rows, [entry.title for entry in entries], dark=dark()), key="latency", config=CONFIG,
        alt=f"Latency in milliseconds of {len(entries)} architectures on {len(devices)} devices, with source and interval.",
    )  # fmt: skip
    st.caption(
        "Open: predicted, with its 90 % interval. Filled: measured, p10 to p90. Crossed or dotted: published by others, on their engine. "
        "Batch 1, 128 tokens."
    )
    with st.expander("As a table"):
        cells = [
            {
                "Model": row.model, "Device": row.device, "Latency (ms)": row.latency_ms, "From (ms)": row.low_ms, "To (ms)": row.high_ms,
                "Source": row.source, "Note": row.note,
            }
            for row in rows
        ]  # fmt: skip
        numbers = {name: st.column_config.NumberColumn(format="%.2f") for name in ("Latency (ms)", "From (ms)", "To (ms)")}
        st.dataframe(
            cells, hide_index=True, column_config=numbers, placeholder=wording.NONE, alt="Latencies by model and device"
        )
        st.download_button(
            "CSV",
            data=_csv(cells),
            file_name="pocketformer-latencies.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def _csv(cells: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(cells[0]) if cells else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    return text.getvalue().encode()


def accuracy(entries: list[Entry]) -> None:
    st.subheader("Accuracy")
    rows = facts.scores(entries)
    if not rows:
        st.caption("No trial of these architectures has an accuracy in this store. Train one on the Design space page.")
        return
    st.plotly_chart(
        figures.score_figure(rows, [entry.title for entry in entries], dark=dark()), key="scores", config=CONFIG,
        alt="Accuracy of each architecture by task, with the deviation over its trials.",
    )  # fmt: skip
    st.caption(
        "Means over the store's trials of the same architecture; bars: standard deviation over trials, none of a single one. "
        "Open: early-stage, on held-out training data. Filled: final, on the development set."
    )


def kernels(entries: list[Entry], devices: list[str], precision: str) -> None:
    st.subheader("Where the time goes")
    if not devices:
        st.caption("Choose a device.")
        return
    device = st.segmented_control("On", devices, default=devices[0], key="kernels_on", required=True) or devices[0]
    times: list[tuple[str, list[KernelTime]]] = []
    for entry in entries:
        times.append((f"{entry.title}, predicted", kernel_times(entry.architecture, device, precision=precision)))
        measured = facts.profile(entry, device, precision)
        if measured is not None:
            times.append((f"{entry.title}, measured", measured))
    st.plotly_chart(
        figures.kernels_figure(times, dark=dark()), key="kernels", config=CONFIG,
        alt=f"Time by kind of kernel of each architecture on {device}, in milliseconds.",
    )  # fmt: skip
    st.caption(
        "Predicted by a roofline of the fused kernels. `pocketformer bench MODEL --profile` measures it, and what it measured last is drawn beside."
    )


HELP = """
- **Architectures**: presets, written ones like `L6-H384-A12-F1536`, or trials as `RUN/NUMBER`. The address keeps them.
- **Kernels, fused** are the calls of one inference after layer fusion; the largest kernel's memory is what it reads and writes beside weights.
- **Energy** is not shown: nothing here measures it.
"""

page()
