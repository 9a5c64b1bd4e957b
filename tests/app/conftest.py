"""A store with runs in every state, filled once, and a home of its own for it."""

import shutil

import pytest
import stories
import streamlit as st

from app import source
from data.store import open_store

STARTED = "20261121-100000-abcd"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A `POCKETFORMER_HOME` with every story of `stories.ALL` in its store, which nobody has open."""
    home = tmp_path_factory.mktemp("told")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETFORMER_HOME", str(home))
        with open_store() as store:
            for story in stories.ALL:
                story(store)
    return home


@pytest.fixture
def home(told, tmp_path, monkeypatch):
    """A copy of the filled home for this test alone; the store that the pages have opened is closed afterwards."""
    shutil.copytree(told, tmp_path / "home")
    monkeypatch.setenv("POCKETFORMER_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    source.store().close()
    st.cache_resource.clear()


@pytest.fixture
def started(monkeypatch):
    """The settings of the runs that pages start, newest last; the runs are in the store, and nothing works on them."""
    seen = []

    def start_run(store, settings):
        seen.append(settings)
        store.create_run(STARTED, settings.to_dict(), {})
        return STARTED

    monkeypatch.setattr("jobs.driver.start_run", start_run)
    return seen


@pytest.fixture
def empty(fresh_home):
    """A home with nothing in it; the store that the pages have opened is closed afterwards."""
    yield fresh_home
    source.store().close()
    st.cache_resource.clear()
