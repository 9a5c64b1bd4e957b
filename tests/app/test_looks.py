"""Every page of the navigation, and states that have a name, look right: in a wide and a narrow window, light and dark (`looks`)."""

import pytest
import stories
from browser import chromium, require_chromium, served_page
from looks import State, page_states, walk

from data.store import open_store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
STATES = [
    State("a run that is done", "/run?run=20261121-090000-done"),
    State("a run with no candidate within the target", "/run?run=20261121-094000-slow"),
    State("a phone of the catalogue", "/devices?device=galaxy-s20"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    require_chromium()
    home = tmp_path_factory.mktemp("looks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETFORMER_HOME", str(home))
        with open_store() as store:
            for story in stories.ALL:
                story(store)
        with served_page(home) as url, chromium() as browser:
            yield url, browser


@pytest.mark.parametrize("look", ["wide-light", "narrow-dark"])
def test_pages_and_states_look_right(site, look):
    url, browser = site
    assert walk(browser, url, [*page_states(), *STATES], look) == {}
