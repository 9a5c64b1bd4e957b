"""The Fusion page: a model's graph before and after LP-Fusion. The URL names the model (`?model=` or a run's `?run=&trial=`), its sequence
length, and the layers that are open."""

from functools import partial

import streamlit as st

from app import background, source, waiting, wording
from app.fusion import canvas, drawing, groups, reports, totals
from app.fusion.reports import LARGEST_ONNX_MB, Subject
from data.errors import ModelError, PocketformerError
from engine.architecture import PRESETS, Architecture, architecture_of

LENGTHS = (24, 48, 80, 128, 256, 512)
FIRST = "minilm-l6"
PHONE = "galaxy-s20"
HELP = """
A model as it is exported is a graph of *layers of computation*: each writes its result to memory, and the next reads it. Most of them
compute little and move much. **LP-Fusion** (CANAO section 3.4) makes blocks of them, one kernel each:

- by a **computation law**: associative (the scores' scale goes into the query weights), distributive (queries, keys and values as one
  matmul), commutative (transposes and reshapes cancel);
- by an **access pattern**: one-to-one, one-to-many, many-to-many, reorganize, shuffle say which operators may follow each other inside
  one kernel.

Bytes are of the tensors written, at batch 1. Filled operators are *compute-intensive*: they use each input more than once.
"""


def page() -> None:
    st.title("Fusion")
    st.caption("What layer fusion makes of a model: its graph before and after, block by block, with bytes and time saved.")
    asked = ask()
    if asked is None:
        return
    report = reports.report_of(asked)
    if report is None:
        make(asked)
        return
    show(asked, report)


def ask() -> Subject | None:
    """The model and its sequence length; None, and a line that says why, where they name none."""
    query = st.query_params
    model, length = _from_url()
    with st.container(border=True):
        left, middle, right = st.columns([3, 1, 2], vertical_alignment="bottom")
        options = list(dict.fromkeys([*PRESETS, model]))
        chosen = left.selectbox(
            "Model", options, index=options.index(model), accept_new_options=True, format_func=_titled,
            help="A preset, or write an architecture like L6-H384-A12-F1536.",
        )  # fmt: skip
        lengths = sorted({*LENGTHS, length})
        tokens = middle.selectbox("Sequence length", lengths, index=lengths.index(length), help="Tokens of the sentence.")
        with right.popover("Upload an ONNX file", icon=":material/upload_file:", width="stretch"):
            uploaded = upload()
    with st.expander("What is layer fusion?", icon=":material/help:"):
        st.markdown(HELP)
    if uploaded:
        chosen = uploaded
    if (chosen, tokens) != (model, length):
        query.from_dict({"model": str(chosen), "seq_len": str(tokens)})
        if uploaded:
            st.rerun()
    try:
        return reports.subject(str(chosen), int(tokens))
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return None


def _from_url() -> tuple[str, int]:
    query = st.query_params
    length = int(query["seq_len"]) if query.get("seq_len", "").isdecimal() else 128
    if "run" in query and query.get("trial", "").isdecimal():
        try:
            view = source.snapshot(query["run"])
        except PocketformerError as error:
            st.error(wording.markdown(str(error)), icon=":material/error:")
        else:
            number = int(query["trial"])
            trial = next((each for each in view.trials if each.trial == number), None)
            if trial is not None:
                return trial.architecture, int(view.run.settings.get("seq_len", length))
            st.error(f"The run has no trial {number}.", icon=":material/error:")
    return query.get("model", FIRST), length


def _titled(model: str) -> str:
    return f"{model.removeprefix(reports.ONNX).partition('-')[2]} (uploaded)" if model.startswith(reports.ONNX) else model


def upload() -> str | None:
    """A file that has just been uploaded, by the name that the page knows it by."""
    file = st.file_uploader(
        "ONNX file", type=["onnx"], max_upload_size=LARGEST_ONNX_MB,
        help=f"Opset 13 to 21, up to {LARGEST_ONNX_MB} MB, weights inside. It is read by another process, and nothing in it is run.",
    )  # fmt: skip
    if file is None or st.session_state.get("uploaded onnx") == file.file_id:
        return None
    st.session_state["uploaded onnx"] = file.file_id
    try:
        return reports.keep_upload(file.name, file.getvalue())
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return None


def make(asked: Subject) -> None:
    """Have the report made: at once where the URL names the model, else at a click."""
    key = reports.work_key(asked)
    if waiting.running(key):
        return
    failed = background.find(key) is not None
    named = "model" in st.query_params or "run" in st.query_params
    label = f"Show the fusion of {asked.title}"
    if (named and not failed) or st.button(label, type="primary", icon=":material/account_tree:"):
        waiting.begin(partial(reports.begin, asked))


def show(asked: Subject, report: groups.Report) -> None:
    architecture = _architecture(asked)
    numbers(report)
    st.subheader(
        "The graph", help="Click a bar to open it, a title to close it. Hover over an operator or a kernel for its facts."
    )
    every = groups.groups_of(report)
    opened = choose_open(every)
    svg = drawing.draw(report, every, opened, dark=st.context.theme.type == "dark")
    canvas.show(svg, partial(toggle, every))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "Inside a dashed frame: operators before fusion, filled where compute-intensive. Under it: the kernel that is left, "
            "with the bytes written before and after."
        )
        st.download_button(
            "SVG",
            svg,
            file_name=f"fusion-{asked.title}.svg",
            mime="image/svg+xml",
            icon=":material/download:",
            on_click="ignore",
        )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Layers and bytes", help="The columns of CANAO's Table 1.")
        st.dataframe(
            totals.counts(report), hide_index=True, placeholder=wording.NONE, alt="Layers and intermediate results before and after",
            column_config={name: st.column_config.NumberColumn(format="localized") for name in ("Before fusion", "After LP-Fusion")},
        )  # fmt: skip
        cancelled = report["layers_cancelled"]
        if cancelled:
            st.caption(f"{wording.plural(cancelled, 'layer')} cancelled altogether: no kernel computes them.")
        bytes_chart(report)
    with right:
        st.subheader("Time saved", help="The columns of CANAO's Table 4.")
        time_saved(asked, report, architecture)
    st.subheader("Blocks")
    st.dataframe(
        drawing.columns(report), hide_index=True, height=420, alt="Every fused block with its members and reasons",
        column_config={
            name: st.column_config.NumberColumn(format="%.1f") for name in ("kB before", "kB after", "MFLOPs", "Measured (µs)")
        } | {name: st.column_config.TextColumn(width="medium") for name in ("Operators", "Law", "Pattern")},
    )  # fmt: skip


def numbers(report: groups.Report) -> None:
    saved = 1 - report["ir_mb_after"] / report["ir_mb_before"] if report["ir_mb_before"] else 0.0
    with st.container(horizontal=True, gap="medium"):
        for label, value, note in (
            ("Layers before", str(report["layers_before"]["total"]), "Layers of computation, counted as CANAO's Table 1 does."),
            ("Kernels after", str(report["kernels_after"]), "Calls in one inference."),
            ("Bytes before", f"{report['ir_mb_before']:.1f} MB", "Intermediate results that layers write, unfused."),
            ("Bytes after", f"{report['ir_mb_after']:.1f} MB", "Intermediate results that kernels write."),
            ("Bytes saved", f"{saved:.0%}", "Of the intermediate results."),
        ):
            st.metric(label, value, help=note, width=140)


def choose_open(every: list[groups.Group]) -> set[str]:
    """Which groups are drawn in detail; kept in the URL."""
    keys = [group.key for group in every]
    titles = {group.key: group.title for group in every}
    asked = [key for key in st.query_params.get("open", "").split(",") if key in keys]
    first = asked or ([] if "open" in st.query_params else [key for key in keys if key.startswith("layer")][:1])
    chosen = st.pills("Open", keys, selection_mode="multi", default=first, format_func=titles.__getitem__, key=_open_key(every))
    if set(chosen) != set(first):
        st.query_params["open"] = ",".join(chosen)
    return set(chosen)


def toggle(every: list[groups.Group], key: str) -> None:
    """Open a group that is closed, close one that is open."""
    opened = list(st.session_state[_open_key(every)])
    st.session_state[_open_key(every)] = [each for each in opened if each != key] if key in opened else [*opened, key]


def _open_key(every: list[groups.Group]) -> str:
    return f"open-{','.join(group.key for group in every)}"


def bytes_chart(report: groups.Report) -> None:
    figure = totals.bytes_figure(report, dark=st.context.theme.type == "dark")
    config = {"displaylogo": False, "toImageButtonOptions": {"format": "svg"}}
    st.plotly_chart(figure, key="bytes", config=config, alt="Megabytes that each kind of block writes, before fusion and after")


def time_saved(asked: Subject, report: groups.Report, architecture: Architecture | None) -> None:
    rows = totals.latencies(report, architecture, ("host", PHONE))
    if rows:
        st.dataframe(
            rows, hide_index=True, placeholder=wording.NONE, alt="Latency with and without fusion",
            column_config={
                **{name: st.column_config.NumberColumn(format="%.2f") for name in rows[0] if name.endswith("(ms)")},
                "Times as fast": st.column_config.NumberColumn(format="%.2f"),
            },
        )  # fmt: skip
        st.caption(
            "Predicted: a roofline over the kernels, the interval that of the fused model. Published: as the source says."
        )
    else:
        st.caption("No latency is known without fusion for this kind of model. Measure it here.")
    key = reports.work_key(asked, measure=True)
    if waiting.running(key):
        return
    label = "Measure again on this machine" if "measured" in report else "Measure on this machine"
    note = "Compiles the model with fusion and without, and times both in turns: one to three minutes."
    if st.button(label, icon=":material/timer:", help=note):
        waiting.begin(partial(reports.begin, asked, measure=True))


def _architecture(asked: Subject) -> Architecture | None:
    try:
        return None if asked.is_upload else architecture_of(asked.model)
    except ModelError:
        return None


page()
