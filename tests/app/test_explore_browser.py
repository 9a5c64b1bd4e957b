"""Explore, Design space and Compare in a real browser."""

import re

import pytest
import stories
from browser import NARROW, WIDE, chromium, require_chromium, served_page, settle, tab

from data.store import open_store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
MANY = "20261121-097000-many"
DENSE = "20261121-098000-dense"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the pages, on a store with odd runs and a long one."""
    require_chromium()
    home = tmp_path_factory.mktemp("explored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETFORMER_HOME", str(home))
        with open_store() as store:
            for story in (stories.done, stories.too_slow, stories.failed, stories.many):
                story(store)
            stories.many(store, DENSE, 2000)
        with served_page(home) as url:
            yield url


@pytest.fixture(scope="module")
def browser(site):
    with chromium() as launched:
        yield launched


def test_a_box_looks_closer_and_the_url_keeps_it(site, browser):
    with tab(browser, timeout_s=60) as page:
        page.goto(f"{site}/explore?task=stsb&runs={DENSE}")
        settle(page)
        box = page.locator(".draglayer .nsewdrag").first.bounding_box()
        page.mouse.move(box["x"] + 0.15 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.7 * box["height"], steps=8)
        page.mouse.up()
        page.wait_for_url(re.compile("zoom="))
        page.get_by_role("button", name="Whole picture").click()
        page.wait_for_url(lambda url: "zoom=" not in url)


def test_a_click_on_a_mark_tells_of_its_trial(site, browser):
    with tab(browser, timeout_s=60) as page:
        page.goto(f"{site}/explore?task=stsb&runs={MANY}")
        settle(page)
        mark = page.evaluate(MARK_ON_FRONT)
        page.mouse.move(mark["x"] - 2, mark["y"] - 2)
        page.mouse.move(mark["x"], mark["y"], steps=3)
        page.locator(".hoverlayer .hovertext").first.wait_for()
        trial = page.evaluate(
            "document.querySelector('.js-plotly-plot')._hoverdata[0].customdata[1]"
        )  # of several marks, the uppermost
        page.mouse.down()
        page.mouse.up()
        page.get_by_text(f"Trial {trial} of {MANY}").wait_for()
        page.wait_for_url(re.compile(f"trial={MANY}(/|%2F){trial}"))


# Where the first mark of the front is drawn.
MARK_ON_FRONT = """() => {
    const plot = document.querySelector('.js-plotly-plot'), {left, top} = plot.getBoundingClientRect()
    const {xaxis, yaxis} = plot._fullLayout, trace = plot._fullData.find(each => each.name === 'On the front')
    return {x: left + xaxis._offset + xaxis.d2p(trace.x[0]), y: top + yaxis._offset + yaxis.d2p(trace.y[0])}
}"""


def test_a_slider_changes_the_architecture_at_once(site, browser):
    with tab(browser, timeout_s=60) as page:
        page.goto(f"{site}/space?device=galaxy-s20&architecture=L4-H384-A12-F768")
        settle(page)
        page.get_by_text("L4-H384-A12-F768", exact=True).wait_for()
        page.get_by_role("slider", name="Layers").focus()
        page.keyboard.press("ArrowLeft")
        page.get_by_text("L3-H384-A12-F768", exact=True).wait_for()
        page.wait_for_url(re.compile("architecture=L3-H384"))


PAGES = (
    "explore?task=stsb",
    "explore?task=stsb&show=Parallel+coordinates",
    "explore?task=cola&show=Table",
    "explore?task=mrpc",
    "space?device=galaxy-s20",
    f"compare?models={MANY}/2&models=bert-base&devices=galaxy-s20",
)


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide-light", "narrow-dark"])
def test_pages_fit_the_window_and_show_no_trace(site, browser, size, dark):
    with tab(browser, size=size, dark=dark, timeout_s=60) as page:
        for path in PAGES:
            page.goto(f"{site}/{path}")
            page.locator("h1").first.wait_for()
            settle(page)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
            assert page.get_by_text("This part of the page failed").count() == 0, path
            assert page.get_by_test_id("stException").count() == 0, path
