"""How work in the background looks on a page: its newest word, how long it has taken, and Cancel; at its end the page is drawn anew."""

from collections.abc import Callable

import streamlit as st

from app import background, wording
from app.background import Work
from compiler.quiet import busy
from data.errors import PocketformerError

REFRESH_S = 1.0


def running(key: str) -> bool:
    """Draw the work of that key if it runs; whether it does. A failure that it ended with is shown once more below its button."""
    work = background.find(key)
    if work is None:
        return False
    if not work.over:
        st.fragment(_progress, run_every=REFRESH_S)(key)
        return True
    if work.error:
        text = wording.markdown(work.error)
        (st.info if work.cancelled else st.error)(
            text[:1].upper() + text[1:], icon=":material/info:" if work.cancelled else ":material/error:"
        )
    return False


def begin(work: Callable[[], object]) -> None:
    """Begin work and draw the page anew; or say in a line why it cannot begin now."""
    try:
        work()
    except PocketformerError as error:
        st.warning(wording.markdown(str(error)), icon=":material/hourglass_top:")
        return
    st.rerun()


def _progress(key: str) -> None:
    with busy():  # drawing loads the cores too: not while a latency of this machine is taken
        work = background.find(key)
        if work is None or work.over:
            st.rerun()
        _draw(key, work)


def _draw(key: str, work: Work) -> None:
    line = work.lines[-1] if work.lines else f"starting {work.name}"
    text = f"{wording.markdown(line[:1].upper() + line[1:])} · {wording.seconds(work.seconds)}"
    with st.container(horizontal=True, vertical_alignment="center", key=f"waiting-{key}"):
        if work.fraction is None:
            st.markdown(f":material/progress_activity: {text}")
        else:
            st.progress(work.fraction, text=text)
        if st.button("Cancel", key=f"cancel-{key}", icon=":material/stop_circle:", disabled=work.cancelled):
            work.cancel()
