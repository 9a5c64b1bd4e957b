"""The latency estimator: sliders for an architecture, its predicted latency on the chosen device, and on all others. No torch: it answers at once."""

from dataclasses import dataclass

import streamlit as st

from app import wording
from app.devices.figures import Estimate, estimates_figure
from compiler.devices import HOST, device_names, find_device
from compiler.targets import precisions_of, threads_of
from data.errors import ModelError, PocketformerError, UsageError
from engine.architecture import HEAD_SIZE, PRESETS, Architecture
from engine.prediction.calibration import calibration_of
from engine.prediction.machine import GPU
from engine.prediction.predict import Prediction, predict
from engine.prediction.published import published_for

HIDDEN = tuple(range(128, 1025, 64))
FFN = tuple(range(128, 4097, 128))
LENGTHS = (8, 16, 24, 32, 48, 64, 80, 96, 128, 192, 256, 384, 512)
CPU = "CPU"


@dataclass(frozen=True)
class Asked:
    """What is under the sliders."""

    architecture: Architecture
    seq_len: int
    threads: int | None
    precision: str
    target: str | None


def draw(device: str) -> None:
    sliders, answer = st.columns([2, 3], gap="large")
    with sliders:
        asked = ask(device)
    with answer:
        if asked is not None:
            answered(device, asked)


def ask(device: str) -> Asked | None:
    layers = st.slider("Layers", 1, 28, 6, key="estimator layers")
    hidden = st.select_slider("Hidden size", HIDDEN, 384, key="estimator hidden")
    ffn = st.select_slider("FFN size", FFN, 1536, key="estimator ffn")
    heads = st.select_slider(
        "Attention heads",
        _heads(hidden),
        max(1, hidden // HEAD_SIZE),
        key=f"estimator heads of {hidden}",
        help="They share the hidden size.",
    )
    seq_len = st.select_slider("Sequence length (tokens)", LENGTHS, 128, key="estimator tokens")
    left, middle, right = st.columns(3)
    precision = left.selectbox("Precision", precisions_of(device), key="estimator precision")
    has_gpu = device != HOST and find_device(device).gpu is not None
    processor = middle.selectbox("Processor", [CPU, "GPU"] if has_gpu else [CPU], key="estimator processor")
    most = threads_of(device)
    threads = right.number_input(
        "Threads", 1, max(most, 1), max(most, 1), step=1, key=f"estimator threads of {device}", disabled=processor != CPU
    )
    try:
        architecture = Architecture(hidden, heads, (ffn,) * layers)
    except ModelError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return None
    on_gpu = processor != CPU
    return Asked(architecture, seq_len, None if on_gpu else int(threads), precision, GPU if on_gpu else None)


def _heads(hidden: int) -> list[int]:
    return [count for count in range(1, hidden // 16 + 1) if hidden % count == 0 and hidden // count >= 16]


def answered(device: str, asked: Asked) -> None:
    model = asked.architecture
    try:
        found = predict(model, device, asked.threads, precision=asked.precision, seq_len=asked.seq_len, target=asked.target)
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return
    with st.container(horizontal=True, gap="medium"):
        for label, value, note in (
            ("Predicted latency", wording.latency(found.latency_ms), "Batch 1."),
            ("90 % interval", wording.spread(found.low_ms, found.high_ms), "Meant to hold 90 % of what would be measured."),
            ("Kernels", str(found.kernels), "Calls in one inference."),
            ("Parameters", wording.count(model.parameters()), "Embeddings and layers."),
            ("FLOPs", wording.count(model.flops(asked.seq_len)), "2 x multiply-accumulates of matmuls."),
        ):
            st.metric(label, value, help=note, width="content")
    st.code(str(model), language=None)
    st.caption(f"Predicted: {wording.markdown(found.basis.replace('`', ''))}.")
    _published(device, model, asked.seq_len)
    with st.container(horizontal=True):
        st.page_link(
            "views/fusion.py",
            label="See its fusion",
            icon=":material/account_tree:",
            query_params={"model": str(model), "seq_len": str(asked.seq_len)},
        )
    estimates = every(asked)
    figure = estimates_figure(estimates, device, dark=st.context.theme.type == "dark")
    config = {"displaylogo": False, "toImageButtonOptions": {"format": "svg"}}
    st.plotly_chart(
        figure, key="estimates", config=config, alt="Predicted latency of this architecture on every device, with its interval"
    )
    st.caption(f"The same on every device, its fast cores, {asked.precision} where it has it. Open marks: not calibrated.")


def every(asked: Asked) -> list[Estimate]:
    """On each device of the catalogue, one thread a fast core; a device that cannot be predicted is left out."""
    found = []
    for name in device_names():
        try:
            precision = asked.precision if asked.precision in precisions_of(name) else "fp32"
            each: Prediction = predict(asked.architecture, name, precision=precision, seq_len=asked.seq_len)
            found.append(Estimate(name, each.latency_ms, each.low_ms, each.high_ms, calibration_of(name) is not None))
        except UsageError:
            continue
    return found


def _published(device: str, model: Architecture, seq_len: int) -> None:
    preset = next((name for name, each in PRESETS.items() if each == model), None)
    for each in published_for(device, model, seq_len) if device != HOST else []:
        words = f"{preset or each.model}: {wording.latency(each.latency_ms)} with {each.engine} on {each.target}, {each.precision} ({each.source})"
        st.caption(f":material/article: Published: {wording.markdown(words)}")
