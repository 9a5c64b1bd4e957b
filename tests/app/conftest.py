"""A store with runs in every state, filled once, and a home of its own for it."""

import pytest
import stories

from data.store import open_store


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
