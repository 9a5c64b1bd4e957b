"""Which open pages are asked to draw anew, and when; in a browser, tests/app/test_browser.py sees it happen."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.live import AT_ONCE, LOST_S, NEWS_PER_PAGE_S, NEWS_S, STILL_S, Page, Watch, news_of, step_of
from app.source import Snapshot
from data.errors import StoreError
from data.records import Event, Run

RUN, NOW = "20261121-091000-live", datetime(2026, 11, 21, tzinfo=UTC)


def view_of(step: int, line: int) -> Snapshot:
    run = Run(RUN, NOW, NOW, "running", {}, None, step, None)
    said = Event(RUN, line, NOW, "info", "a line", None, {})
    return Snapshot(run, (), (), (said,), ())


def page_of(name: str, view: Snapshot, ago_s: float = 0.0) -> Page:
    return Page(name, f"fragment of {name}", RUN, step_of(view), news_of(view), time.monotonic() - ago_s)


class Site:
    """A run that changes, and what pages were asked of."""

    def __init__(self) -> None:
        self.view = view_of(1, 1)
        self.away = False
        self.closed: set[str] = set()
        self.asked: list[tuple[str, bool]] = []
        self.watch = Watch(self.look, self.ask, lambda name: name not in self.closed)
        self.watch._thread = threading.current_thread()  # rounds are made by the tests

    def look(self, run_id: str) -> Snapshot:
        if self.away:
            raise StoreError("the store is away")
        return self.view

    def ask(self, page: Page, whole: bool) -> None:
        self.asked.append((page.session_id, whole))
        self.watch.take(page_of(page.session_id, self.view))

    def shows(self, *names: str, ago_s: float = 0.0) -> None:
        for name in names:
            self.watch.take(page_of(name, self.view, ago_s))


@pytest.fixture
def site(fresh_home) -> Site:
    return Site()


def test_nothing_is_asked_while_nothing_happens(site: Site) -> None:
    site.shows("one", ago_s=STILL_S - 1)
    site.watch.round()
    assert site.asked == []


def test_a_step_of_the_search_is_shown_at_once_and_once(site: Site) -> None:
    site.shows("one")
    site.view = view_of(2, 1)
    site.watch.round()
    site.watch.round()
    assert site.asked == [("one", True)]


def test_lines_of_the_log_are_shown_in_a_while_in_their_fragment(site: Site) -> None:
    site.shows("one", ago_s=NEWS_S - 0.5)
    site.view = view_of(1, 2)
    site.watch.round()
    assert site.asked == []
    site.watch.take(replace(site.watch.pages()[0], at=time.monotonic() - NEWS_S - 0.1))
    site.watch.round()
    assert site.asked == [("one", False)]


def test_many_pages_show_lines_of_the_log_less_often(site: Site) -> None:
    names = [str(number) for number in range(40)]
    site.shows(*names, ago_s=NEWS_PER_PAGE_S * len(names) - 1)
    site.view = view_of(1, 2)
    site.watch.round()
    assert site.asked == []


def test_a_page_says_now_and_then_how_long_nothing_has_happened(site: Site) -> None:
    site.shows("one", ago_s=STILL_S + 1)
    site.watch.round()
    assert site.asked == [("one", False)]


def test_steps_come_before_lines_of_the_log(site: Site) -> None:
    site.shows("news", ago_s=10)
    site.view = view_of(2, 2)
    site.watch.take(replace(page_of("news", site.view, ago_s=10), news=1))
    site.watch.take(replace(page_of("step", site.view), step="another"))
    site.watch.round()
    assert site.asked == [("step", True), ("news", False)]


def test_closed_pages_are_forgotten(site: Site) -> None:
    site.shows("one", "two")
    site.closed = {"one"}
    site.view = view_of(2, 1)
    site.watch.round()
    assert site.asked == [("two", True)]
    assert [page.session_id for page in site.watch.pages()] == ["two"]


def test_a_page_without_its_store_is_asked_to_say_so(site: Site) -> None:
    site.shows("one", ago_s=NEWS_S + 1)
    site.away = True
    site.watch.round()
    assert site.asked == [("one", False)]


def test_a_page_that_does_not_draw_is_asked_again(site: Site) -> None:
    asked: list[str] = []
    site.watch = Watch(site.look, lambda page, whole: asked.append(page.session_id), lambda name: True)
    site.watch._thread = threading.current_thread()
    site.shows("one", ago_s=1.0)
    site.view = view_of(2, 1)
    site.watch.round()
    site.watch.round()
    assert asked == ["one"]
    site.watch.take(replace(site.watch.pages()[0], asked_at=time.monotonic() - LOST_S - 1))
    site.watch.round()
    assert asked == ["one", "one"]


def test_a_page_that_answers_its_user_is_asked_again_afterwards(site: Site) -> None:
    asked: list[str] = []

    def ask(page: Page, whole: bool) -> None:
        asked.append(page.session_id)
        if len(asked) == 1:
            site.watch.put_off(page)

    site.watch = Watch(site.look, ask, lambda name: True)
    site.watch._thread = threading.current_thread()
    site.shows("one")
    site.view = view_of(2, 1)
    for _ in range(3):
        site.watch.round()
    assert asked == ["one", "one"]


def test_few_pages_draw_at_the_same_time(site: Site) -> None:
    drawing: set[str] = set()
    most = 0

    def ask(page: Page, whole: bool) -> None:
        nonlocal most
        drawing.add(page.session_id)
        most = max(most, len(drawing))
        threading.Timer(0.1, drawn, (page.session_id,)).start()

    def drawn(name: str) -> None:
        drawing.discard(name)
        site.watch.take(page_of(name, site.view))

    site.watch = Watch(site.look, ask, lambda name: True)
    site.watch._thread = threading.current_thread()
    site.shows(*"abcdef")
    site.view = view_of(2, 1)
    site.watch.round()
    assert most == AT_ONCE
    time.sleep(0.3)
    assert all(page.step == step_of(site.view) for page in site.watch.pages())


def test_a_session_that_went_on_to_another_page_is_left_alone(site: Site) -> None:
    site.shows("stays", "went", ago_s=5)
    began = time.monotonic() - 1
    site.shows("stays")
    for name in ("stays", "went"):
        site.watch.leave(name, before=began)
    assert [page.session_id for page in site.watch.pages()] == ["stays"]
