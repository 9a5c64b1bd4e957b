"""What can be done with the architecture under the sliders: train it, compile it, put it beside others."""

from functools import partial

import streamlit as st

from app import source, wording
from app.explore import compiling
from app.explore.compiling import Wanted
from data.errors import PocketformerError
from engine.architecture import Architecture
from engine.prediction.predict import predict
from engine.settings import Settings

REFRESH_S = 1.0


def buttons(architecture: Architecture, task: str, teacher: str, device: str, precision: str) -> None:
    with st.container(horizontal=True, gap="small"):
        with st.popover("Train", icon=":material/model_training:"):
            train(architecture, task, teacher, device, precision)
        with st.popover("Compile", icon=":material/build:"):
            wanted = Wanted(str(architecture), device, precision)
            st.fragment(compile_it, run_every=REFRESH_S if compiling.state(wanted).name == "running" else None)(wanted)
        st.page_link(
            "views/compare.py", label="Compare with…", icon=":material/compare_arrows:",
            query_params={"models": [str(architecture), "minilm-l6"], "devices": [device]},
        )  # fmt: skip


def train(architecture: Architecture, task: str, teacher: str, device: str, precision: str) -> None:
    """A search of one."""
    st.markdown(
        f"Distil, fine-tune, compile, measure and pack this one architecture on **{wording.markdown(task)}**, as a search does with its best."
    )
    high_ms = predict(architecture, device, precision=precision).high_ms
    limit_ms = st.number_input(
        "Latency limit (ms)",
        min_value=0.01,
        value=float(f"{high_ms:.3g}"),
        help="Over it, it is dropped. At first: the prediction's upper end.",
    )
    epochs = st.number_input("Final epochs", min_value=1, value=Settings.final_epochs)
    if st.button("Start training", type="primary", icon=":material/play_arrow:", width="stretch"):
        from jobs.driver import start_run

        try:
            settings = Settings(
                task=task, teacher=teacher, device=device, precision=precision, latency_ms=float(limit_ms), trials=1,
                final_epochs=int(epochs), architecture=str(architecture),
            )  # fmt: skip
            run_id = start_run(source.store(), settings)
        except PocketformerError as error:
            st.error(wording.markdown(str(error)), icon=":material/error:")
            return
        source.forget()
        st.switch_page("views/run.py", query_params={"run": run_id})


def compile_it(wanted: Wanted) -> None:
    """The `compile` command on it: started, watched, cancelled, and its bundle."""
    now = compiling.state(wanted)
    st.markdown(
        f"Compile for **{wording.markdown(wanted.device)}** in {wanted.precision}, with random weights: to time it, not to ship it."
    )
    if now.name == "running":
        st.caption(f":material/autorenew: {wording.markdown(now.line or 'starting')}")
        if st.button("Cancel", icon=":material/stop_circle:"):
            compiling.cancel(wanted)
            st.rerun()
        return
    if now.name == "failed":
        st.error(wording.markdown(now.line or "it ended without a word"), icon=":material/error:")
    if now.name == "done" and now.result is not None:
        latency, source_name = now.result.get("latency_ms"), now.result.get("latency_source")
        st.success(
            f"{now.result['kernels']} kernels in {now.result['compile_s']:.1f} s"
            + (f"; {wording.latency(latency)}, {source_name}" if latency else "; not timed here"),
            icon=":material/check_circle:",
        )
        st.download_button(
            "Download bundle", data=partial(wanted.bundle.read_bytes), file_name=wanted.bundle.name, mime="application/zip", on_click="ignore",
            icon=":material/download:",
        )  # fmt: skip
    if st.button("Compile again" if now.name == "done" else "Compile", type="primary", icon=":material/build:"):
        compiling.begin(wanted)
        st.rerun()
