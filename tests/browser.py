"""What tests add to `benchmarks.browsing`: a skip where there is no browser, and the page's server alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from needs import absent

from benchmarks import browsing
from benchmarks.browsing import NARROW, WIDE, free_port, page_command, serving, tab, wait_for
from benchmarks.browsing import settled as settle
from compiler.process import PROJECT as ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = (
    "NARROW",
    "ROOT",
    "WIDE",
    "chromium",
    "environment_of",
    "free_port",
    "require_chromium",
    "served_page",
    "settle",
    "tab",
    "wait_for",
)


def require_chromium() -> None:
    """Skip the test where there is no chromium; fail it when POCKETFORMER_REQUIRE_ALL=1 asks for every test."""
    if missing := browsing.missing_parts():
        absent(f"no {' and no '.join(missing)}")


def environment_of(home: Path) -> dict[str, str]:
    """This process's environment, with the state folder `home` and this checkout's packages."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"POCKETFORMER_HOME": str(home), "PYTHONPATH": path}


@contextmanager
def served_page(home: Path, **environment: str) -> Iterator[str]:
    """The page's server alone, on a free port and the state folder `home`; its address. Ended with the block."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(page_command(port), f"{url}/_stcore/health", home / "web.log", environment_of(home) | environment):
        yield url


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A headless chromium; the test is skipped where there is none."""
    require_chromium()
    with browsing.chromium() as browser:
        yield browser
