"""The pages in a real browser, on a store served as `serve` does, so that the tests can change it while browsers watch."""

import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import stories
from browser import NARROW, ROOT, WIDE, chromium, environment_of, require_chromium, served_page, settle, tab

from compiler.quiet import quiet
from data.records import Note
from data.store import open_store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
BUNDLE = b"PK a bundle, for the tests" * 100_000
DONE, LIVE = "20261121-090000-done", "20261121-091000-live"
ODD = (
    "",
    "20261121-092000-newb",
    "20261121-093000-once",
    "20261121-094000-slow",
    "20261121-095000-fail",
    "20261121-096000-stop",
    "nope",
)
SERVER_S = 30.0


@contextmanager
def store_server(home):
    command = [sys.executable, "-m", "data.store_server"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment_of(home))
    try:
        deadline = time.monotonic() + SERVER_S
        while not (home / "store.json").exists():
            assert server.poll() is None
            assert time.monotonic() < deadline, "the store's server does not start"
            time.sleep(0.05)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """(address of the page, a client of its store)"""
    require_chromium()
    home = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETFORMER_HOME", str(home))
        with store_server(home), open_store() as store:
            for story in stories.ALL:
                story(store, **({"bundle": BUNDLE} if story is stories.done else {}))
            with served_page(home) as url:
                yield url, store


@pytest.fixture(scope="module")
def browser(site):
    with chromium() as launched:
        yield launched


def click_point(page, trace, index=0):
    """Click a mark of the chart; Plotly's own layer lies over the marks."""
    box = (
        page.locator(".scatterlayer .trace", has=page.locator(".points path"))
        .nth(trace)
        .locator(".points path")
        .nth(index)
        .bounding_box()
    )
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_from_the_list_of_runs_to_the_downloaded_bundle(site, browser, tmp_path):
    url, _ = site
    with tab(browser) as page:
        page.goto(url)
        settle(page)
        assert page.get_by_role("heading", name="Pocketformer").is_visible()
        page.get_by_role("link", name=re.compile("stsb on host")).last.click()
        page.wait_for_url(re.compile(f"run=.*{DONE[-4:]}"))
        settle(page)
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile("Download bundle")).click()
        download.value.save_as(tmp_path / "bundle.zip")
        assert (tmp_path / "bundle.zip").read_bytes() == BUNDLE
        assert download.value.suggested_filename == "pocketformer-stsb-L4-H384-A12-F1536-host@4.71ms.zip"


def test_a_click_on_a_point_shows_its_trial_and_the_url_keeps_it(site, browser):
    url, _ = site
    with tab(browser) as page:
        page.goto(f"{url}/run?run={DONE}")
        settle(page)
        page.get_by_text("Trial 2", exact=True).wait_for()
        click_point(page, 0)
        page.get_by_text("Trial 1", exact=True).wait_for()
        page.wait_for_url(re.compile("trial=1"))
        page.reload()
        settle(page)
        page.get_by_text("Trial 1", exact=True).wait_for()


def test_a_click_on_a_row_shows_its_trial(site, browser):
    url, _ = site
    with tab(browser) as page:
        page.goto(f"{url}/run?run={DONE}")
        settle(page)
        grid = page.get_by_test_id("stDataFrame").locator("visible=true").first
        grid.scroll_into_view_if_needed()
        grid.click(position={"x": 16, "y": 36 + 35 * 4 + 16})
        page.get_by_text("Trial 5", exact=True).wait_for()
        page.wait_for_url(re.compile("trial=5"))
        assert page.get_by_text("compilation passed 300 s").first.is_visible()


def test_two_browsers_watch_a_run_live_and_one_cancels_it(site, browser):
    url, store = site
    run_id = stories.live(store, "20261121-120000-pair")
    with tab(browser) as one, tab(browser) as two:
        for page in (one, two):
            page.goto(f"{url}/run?run={run_id}")
            settle(page)
            page.get_by_text("4 of 8", exact=True).wait_for()
            page.get_by_text("fine-tuning").first.wait_for()
        stories.step(store, run_id, trials=[stories.trial(run_id, 5)], said=[Note("Trial 5: early accuracy 0.664", 5)])
        for page in (one, two):
            page.get_by_text("5 of 8", exact=True).wait_for()
        one.get_by_role("button", name="Cancel run").click()
        one.get_by_role("button", name="Yes, cancel it").click()
        for page in (one, two):
            page.get_by_text("work under way is being stopped").wait_for()
        assert store.run(run_id).status == "cancelling"
        stories.step(store, run_id, "cancelled", said=[Note("Cancelled", level="warning")])
        for page in (one, two):
            page.get_by_text("The run was cancelled.").wait_for()
            assert page.get_by_role("button", name="Cancel run").count() == 0


def painted(page):
    """The page once what the redraw before has left to paint is there, which takes a busy machine a while."""
    last = page.screenshot()
    for _ in range(40):
        page.wait_for_timeout(300)
        last, before = page.screenshot(), last
        if last == before:
            return last
    pytest.fail("the page never comes to rest")


def test_the_page_stays_as_it_is_while_a_latency_is_taken(site, browser):
    """Whatever moves in a browser takes cores from the measurement beside it, and a faded page reads as an outage."""
    url, store = site
    run_id = stories.live(store, "20261121-140000-calm")
    with tab(browser) as page:
        page.goto(f"{url}/run?run={run_id}")
        settle(page)
        grid = page.get_by_test_id("stDataFrame").locator("visible=true").first
        grid.scroll_into_view_if_needed()
        with quiet():
            store.log(run_id, "a line that nobody sees yet")
            grid.click(position={"x": 16, "y": 36 + 16})
            page.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'running'")
            before = painted(page)
            page.wait_for_timeout(2500)  # Streamlit fades what is not drawn again after half a second
            assert page.locator("[data-stale=true]").count() > 0
            seen = [page.screenshot() == before for _ in range(5)]
            assert page.get_by_text("nobody sees yet").count() == 0
        assert all(seen)
        page.get_by_text("nobody sees yet").first.wait_for()


def test_a_page_asks_for_nothing_while_nothing_happens(site, browser):
    """Each rerun costs a browser a tenth of a second of a core, beside measurements on this machine; and what happens is seen all the same."""
    url, store = site
    run_id = stories.live(store, "20261121-150000-mute")
    with tab(browser) as page:
        sent = []
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
        page.goto(f"{url}/run?run={run_id}")
        settle(page)
        page.get_by_text("4 of 8", exact=True).wait_for()
        sent.clear()
        page.wait_for_timeout(5000)
        assert sent == []
        store.log(run_id, "a line of the log")
        page.get_by_text("a line of the log").first.wait_for()
        stories.step(store, run_id, trials=[stories.trial(run_id, 5)])
        page.get_by_text("5 of 8", exact=True).wait_for()
        assert sent == []


def test_a_run_that_is_done_appears_with_its_bundle_without_a_reload(site, browser):
    url, store = site
    run_id = stories.live(store, "20261121-130000-ends")
    with tab(browser) as page:
        page.goto(f"{url}/run?run={run_id}")
        settle(page)
        stories.add_bundle(store, run_id, 2, b"PK small")
        stories.step(store, run_id, "done", said=[Note("Done")])
        page.get_by_role("button", name=re.compile("Download bundle")).wait_for()


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide-light", "narrow-dark"])
def test_odd_runs_fit_the_window_and_show_no_trace(site, browser, size, dark):
    url, _ = site
    with tab(browser, size=size, dark=dark) as page:
        for run_id in (*ODD, DONE):
            page.goto(f"{url}/run?run={run_id}" if run_id else url)
            page.locator("h1").first.wait_for()
            settle(page)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), run_id
            assert page.get_by_test_id("stException").count() == 0, run_id
            assert page.get_by_text("This part of the page failed").count() == 0, run_id


def test_the_first_content_is_there_soon(site, browser):
    """Generous, for a busy machine: the aim of 1.5 s is benchmarked, not tested."""
    url, _ = site
    with tab(browser) as page:
        began = time.monotonic()
        page.goto(url)
        page.get_by_role("heading", name="Pocketformer").wait_for()
        assert time.monotonic() - began < 10
