"""The one place where an error that nobody expected becomes what the user sees; its trace goes to the server's log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app import wording
from data.errors import PocketformerError

logger = logging.getLogger("pocketformer.app")


@contextmanager
def shown_plainly() -> Iterator[None]:
    """Show an error of the block in one line. Streamlit's own signals (rerun, stop) are no errors and pass."""
    try:
        yield
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
    except Exception as error:
        logger.exception("a page failed")
        text = wording.markdown(f"{type(error).__name__}: {error}".splitlines()[0])
        st.error(f"This part of the page failed: {text}. The server's log has the details.", icon=":material/bug_report:")
