"""Pages of runs that change when their run does: the server asks a browser to draw anew, not each browser the server every other second.

A browser pays 0.05 to 0.1 s of a processor for each rerun of a part of a page, whatever that draws. Twenty that ask every other second keep two
slow cores busy with nothing: a new trial was then seen after 13 s in the median (`benchmarks.pages`), and a latency of this machine is taken
beside them. So one thread looks at the runs that are watched, and asks for what has become old, of two pages at a time: one that is drawn at
once is seen sooner than twenty that share the cores.

Streamlit has no public way to rerun a session's script from outside; this takes what its own watcher of source files takes
(`AppSession.request_rerun` with the session's last state, streamlit 1.67). Where that is missing, as in Streamlit's AppTest, pages poll.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from streamlit import runtime
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSessionState
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState

from app import source
from app.source import Snapshot
from compiler.quiet import busy
from data.errors import PocketformerError

POLL_S = 2.0  # of a page that has to ask
LOOK_S = 0.5
NEWS_S = 2.0  # between two lines of the log that a page shows, and the more, the more pages there are
NEWS_PER_PAGE_S = 0.25
STILL_S = 15.0  # without news: a page says how long nothing has worked
AT_ONCE = 2
LOST_S = 10.0  # after which a page that was asked and has not drawn is asked again

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """A browser's view of a run: what it was drawn from, and the fragment that shows what changes from second to second.

    Attributes:
        step, news: as `step_of` and `news_of` have it of the snapshot.
        at: that it was drawn, in seconds of the monotonic clock.
        asked_at: that it was asked to draw anew; None when it has.
    """

    session_id: str
    fragment_id: str
    run_id: str
    step: object
    news: object
    at: float
    asked_at: float | None = None


def step_of(view: Snapshot) -> tuple[object, ...]:
    """Differs where anything but the log, the time and the progress of what is under way does."""
    return (
        view.run.state_version,
        view.run.status,
        view.run.error,
        len(view.artifacts),
        tuple(each.command_id for each in view.working),
    )


def news_of(view: Snapshot) -> object:
    """Differs where the log does."""
    return view.events[-1].seq if view.events else None


def poll_s(view: Snapshot) -> float | None:
    """`run_every` of the fragment that watches a run: None where it is over, or `drawn` sees to it."""
    return None if view.run.over or _session_id() is not None else POLL_S


def drawn(view: Snapshot) -> None:
    """To be called by the fragment that watches a run, at its end: from now on it is asked to draw anew when the run has changed."""
    session_id, fragment_id = _session_id(), ThreadState.get().fragment_id
    if session_id is None or fragment_id is None:
        return
    if view.run.over:
        _watch.leave(session_id)
    else:
        _watch.take(Page(session_id, fragment_id, view.run.run_id, step_of(view), news_of(view), time.monotonic()))


@contextmanager
def pages() -> Iterator[None]:
    """To be held while a session's script runs: if it shows another page than a run's, nothing is asked of it any more."""
    session_id, began = _session_id(), time.monotonic()
    try:
        yield
    finally:
        if session_id is not None:
            _watch.leave(session_id, began)


def _session_id() -> str | None:
    """None where no browser is served, or Streamlit cannot be asked."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None or not runtime.exists() or _session_of(context.session_id) is None:
        return None
    return context.session_id


def _session_of(session_id: str) -> Any:
    """Its AppSession while a browser has it open; else None."""
    with suppress(AttributeError):
        found = runtime.get_instance()._session_mgr.get_active_session_info(session_id)
        if found is not None and isinstance(found.session._client_state, ClientState) and callable(found.session.request_rerun):
            return found.session
    return None


def ask(page: Page, whole: bool) -> None:
    """Have the session run its script, or the page's fragment alone, with what its browser last sent. Any thread may call this."""

    def run() -> None:
        session = _session_of(page.session_id)
        if session is None or session._state is AppSessionState.APP_IS_RUNNING:
            # It answers its user, with what that did; a rerun now would begin with what was before, and lose it.
            _watch.put_off(page)
            return
        state = ClientState()
        state.CopyFrom(session._client_state)
        state.fragment_id = "" if whole else page.fragment_id
        state.is_auto_rerun = not whole
        session.request_rerun(state)

    runtime.get_instance()._get_async_objs().eventloop.call_soon_threadsafe(run)


class Watch:
    """The pages that are open, and the thread that looks after them while there are any."""

    def __init__(
        self, look: Callable[[str], Snapshot], ask: Callable[[Page, bool], None], is_open: Callable[[str], bool]
    ) -> None:
        self._look, self._ask, self._is_open = look, ask, is_open
        self._lock = threading.Lock()
        self._pages: dict[str, Page] = {}
        self._thread: threading.Thread | None = None

    def take(self, page: Page) -> None:
        with self._lock:
            self._pages[page.session_id] = page
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live pages", daemon=True)
                self._thread.start()

    def leave(self, session_id: str, before: float = inf) -> None:
        """Forget a page that was drawn before that time."""
        with self._lock:
            if session_id in self._pages and self._pages[session_id].at < before:
                del self._pages[session_id]

    def put_off(self, page: Page) -> None:
        """A page that was asked, but cannot draw now: the next round asks it again, unless it has drawn until then."""
        with self._lock:
            now = self._pages.get(page.session_id)
            if now is not None and replace(now, asked_at=None) == page:
                self._pages[page.session_id] = page

    def pages(self) -> list[Page]:
        with self._lock:
            return list(self._pages.values())

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_S)
            try:
                self.round()
            except Exception:
                log.exception("open pages could not be looked after; trying again")
            with self._lock:
                if not self._pages:
                    self._thread = None
                    return

    def round(self) -> None:
        """Ask all pages that have become old, those that miss a step of the search first."""
        for page in self.pages():
            if not self._is_open(page.session_id):
                self.leave(page.session_id)
        pages, now = self.pages(), time.monotonic()
        views = {run_id: self._seen(run_id) for run_id in {page.run_id for page in pages}}
        old = {page.session_id: self._lacks(page, views[page.run_id], len(pages), now) for page in pages}
        waiting = [page for page in pages if old[page.session_id] == "step"]
        waiting += [page for page in pages if old[page.session_id] == "news"]
        asked: list[str] = []
        for page in waiting:
            while len(asked) >= AT_ONCE:
                time.sleep(0.02)
                asked = [each for each in asked if self._is_drawing(each)]
            if self._mark(page):
                self._ask(page, old[page.session_id] == "step")
                asked.append(page.session_id)

    def _seen(self, run_id: str) -> Snapshot | None:
        """None where the store does not answer: the page says so."""
        with busy(), suppress(PocketformerError):
            return self._look(run_id)
        return None

    @staticmethod
    def _lacks(page: Page, view: Snapshot | None, pages: int, now: float) -> str:
        """What has happened since the page was drawn: a "step" of the search, "news" or nothing that it should show already."""
        if page.asked_at is not None and now - page.asked_at < LOST_S:
            return ""
        if view is not None and step_of(view) != page.step:
            return "step"
        if now - page.at > STILL_S:
            return "news"
        changed = view is None or news_of(view) != page.news or page.asked_at is not None
        return "news" if changed and now - page.at > max(NEWS_S, NEWS_PER_PAGE_S * pages) else ""

    def _mark(self, page: Page) -> bool:
        """Whether the page is still as it was; it counts as asked then."""
        with self._lock:
            same = self._pages.get(page.session_id) == page
            if same:
                self._pages[page.session_id] = replace(page, asked_at=time.monotonic())
        return same

    def _is_drawing(self, session_id: str) -> bool:
        with self._lock:
            page = self._pages.get(session_id)
        return page is not None and page.asked_at is not None and time.monotonic() - page.asked_at < LOST_S


_watch = Watch(source.snapshot, ask, lambda session_id: _session_of(session_id) is not None)
