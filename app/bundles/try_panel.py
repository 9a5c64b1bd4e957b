"""Trying a bundle on the Models page: a sentence, or two; what the compiled model says and how long it takes, and the teacher beside it."""

from functools import partial
from pathlib import Path

import streamlit as st

from app import background, waiting, wording
from app.answers import pairs_taken
from app.bundles import exports, shelf
from app.bundles.exports import HOST_BUNDLE
from app.bundles.shelf import Shelved
from app.bundles.trying import Answerer
from compiler.devices import HOST
from data.errors import PocketformerError

EXAMPLES = {
    True: ("A plane is taking off.", "An air plane is leaving."),
    False: ("The old sailor was praised by the quiet teacher.", ""),
}


def draw(each: Shelved) -> None:
    """A sentence, or two; what the compiled model says, and the teacher beside it."""
    path = _here(each)
    if path is None:
        return
    takes = pairs_taken(each.model["task"]) if each.model.get("task") else {False}
    pairs, either = True in takes, len(takes) == 2
    first, second = EXAMPLES[pairs]
    with st.form(f"try {each.key}", border=True):
        text = st.text_input("Sentence" if not pairs else "First sentence", first, max_chars=2000)
        note = "Leave it empty for the tasks on one sentence." if either else None
        pair = st.text_input("Second sentence", second, max_chars=2000, help=note) if pairs else None
        pair = None if either and pair is not None and not pair.strip() else pair
        asked = st.form_submit_button("Answer", type="primary", icon=":material/bolt:")
    key = f"asked {each.key}"
    if asked:
        st.session_state[key] = (text, pair)
    if key in st.session_state:
        _answers(each, path, *st.session_state[key])


def _here(each: Shelved) -> Path | None:
    """The bundle as this machine runs it; None, and why, where it cannot yet."""
    if each.device == HOST:
        return shelf.path_of(each)
    built = exports.file_of(each, HOST_BUNDLE)
    if built is not None:
        st.caption(
            f"On the same model compiled for this machine: its answers are those of {each.device} but for rounding, its time is not."
        )
        return built
    st.caption(
        f"This bundle is for {each.device}, whose programs this machine cannot run. The same model can be compiled for this machine."
    )
    key = exports.key_of(each, HOST_BUNDLE)
    if not waiting.running(key) and st.button(
        "Compile it for this machine", icon=":material/build:", help="Half a minute or so."
    ):
        waiting.begin(partial(exports.begin, each, HOST_BUNDLE))
    return None


def _answers(each: Shelved, path: Path, text: str, pair: str | None) -> None:
    if not text.strip() or (pair is not None and not pair.strip()):
        st.warning("Write a sentence first." if pair is None else "Write both sentences first.", icon=":material/edit:")
        return
    left, right = st.columns(2)
    with left, st.container(border=True):
        st.markdown("**Compiled model**")
        with st.spinner("Answering"):
            model = _asked("model", each, path, text, pair)
        if model is not None:
            _answer(model, f"{each.model['architecture']}, {model['tokens']} tokens at length {model['seq_len']}")
    with right, st.container(border=True):
        st.markdown("**Teacher**")
        with st.spinner("Answering; the first time it is loaded"):
            teacher = _teacher(each, path, text, pair)
        if teacher is not None:
            metric, value = next(iter(teacher["metrics"].items()))
            _answer(
                teacher,
                f"{teacher['architecture']} in torch; {wording.metric(metric)} {value:.3f} on the dev split",
            )
            if model is not None:
                st.caption(
                    f"The compiled model is {wording.ratio(teacher['latency_ms'], model['latency_ms'])} as fast, in this run."
                )


def _answer(answer: dict, about: str) -> None:
    """Scores as bars with their numbers, the time, and whose they are."""
    if "scores" in answer:
        for label, score in answer["scores"].items():
            st.progress(min(max(score, 0.0), 1.0), text=f"{wording.markdown(label)}: **{score:.3f}**")
    else:
        st.code(" ".join(f"{value:.4f}" for value in answer["embedding"]) + " …", language=None, wrap_lines=True)
    st.markdown(f"**{wording.latency(answer['latency_ms'])}**")
    st.caption(wording.markdown(f"Median of 11 runs on this machine. {about}."))


def _teacher(each: Shelved, path: Path, text: str, pair: str | None) -> dict | None:
    """Its answer; where it is not fine-tuned on the task, a button that does so."""
    settings = shelf.settings_of(each)
    if settings is None:
        st.caption("The run that made this model is no longer in the store, so its teacher is not known.")
        return None
    key = f"teacher {settings.task} {settings.teacher} {settings.seq_len} {settings.seed}"
    if waiting.running(key):
        return None
    about = {"task": settings.task, "teacher": settings.teacher, "seq_len": settings.seq_len, "seed": settings.seed}
    answer = _asked("teacher", each, path, text, pair, settings=about)
    if answer is None or not answer.get("untuned"):
        return answer
    st.caption(
        f"{settings.teacher} is not fine-tuned on {wording.task(settings.task)} yet, so it has no answer to compare with."
    )
    if st.button(
        "Fine-tune it",
        icon=":material/school:",
        help="Two epochs of the task; minutes, on this machine's cores. Kept for all runs.",
    ):
        words = ["teacher", "--task", settings.task, "--teacher", settings.teacher]
        waiting.begin(
            partial(background.begin, key, [*words, "--seq-len", str(settings.seq_len), "--seed", str(settings.seed)])
        )
    return None


def _asked(who: str, each: Shelved, path: Path, text: str, pair: str | None, **more: object) -> dict | None:
    """From the answering process; asked again only when something has changed."""
    key = f"answer {who} {each.key}"
    question = (text, pair, str(path))
    known = st.session_state.get(key)
    if known is not None and known[0] == question and not known[1].get("untuned"):
        return known[1]
    try:
        answer = answerer().ask(who, bundle=str(path), text=text, pair=pair, **more)
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return None
    st.session_state[key] = (question, answer)
    return answer


@st.cache_resource(show_spinner=False)
def answerer() -> Answerer:
    return Answerer()
