"""The questions of `data.explore`, each asked once for all browsers, and again only when a run of its subject has changed."""

from typing import Any

import streamlit as st

from app import source
from data.explore import Explorer, Subject
from data.home import home
from data.store import Store

FRESH_S = 2.0  # how long a page may not notice that a run has changed


def subjects() -> list[Subject]:
    """Tasks and devices that there are runs of, the newest first.

    Raises:
        StoreError: the store cannot be opened or reached.
    """
    return _subjects(source.store(), str(home()))


def ask(subject: Subject, question: str, *values: Any) -> Any:
    """The answer of the `Explorer`'s method of that name. It is shared: not to be changed."""
    store, folder = source.store(), str(home())
    return _answer(store, folder, _stamp(store, folder, subject.task, subject.device), question, values)


@st.cache_resource(show_spinner=False, ttl=FRESH_S)
def _subjects(_store: Store, folder: str) -> list[Subject]:
    return Explorer(_store).subjects()


@st.cache_resource(show_spinner=False, ttl=FRESH_S, max_entries=64)
def _stamp(_store: Store, folder: str, task: str, device: str) -> str:
    return Explorer(_store).stamp(task, device)


@st.cache_resource(show_spinner=False, max_entries=96)
def _answer(_store: Store, folder: str, stamp: str, question: str, values: tuple[Any, ...]) -> Any:
    return getattr(Explorer(_store), question)(*values)
