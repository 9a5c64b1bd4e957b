"""Drives the web page in Debian's chromium: a server of the page, a browser, and what a test needs of both."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import absent

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE = (1280, 900)
NARROW = (390, 844)
START_S = 60.0


def require_chromium() -> None:
    """Skip the test where there is no chromium; fail it when POCKETFORMER_REQUIRE_ALL=1 asks for every test."""
    missing = [] if Path(CHROMIUM).exists() else [CHROMIUM]
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        missing.append("the Python package playwright")
    if missing:
        reason = f"no {' and no '.join(missing)}"
        absent(reason)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment_of(home: Path) -> dict[str, str]:
    """This process's environment, with the state folder `home` and this checkout's packages."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"POCKETFORMER_HOME": str(home), "PYTHONPATH": path}


@contextmanager
def served_page(home: Path, **environment: str) -> Iterator[str]:
    """The page's server alone, on a free port and the state folder `home`; its address. Ended with the block."""
    port = free_port()
    log = home / "web.log"
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py"), "--server.port", str(port)]
    settings = environment_of(home) | environment
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path, timeout_s: float = START_S) -> None:
    """Wait until `url` answers; fail with the server's log when it has ended or does not answer in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A headless chromium; the test is skipped where there is none."""
    require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: "Browser", *, size: tuple[int, int] = WIDE, dark: bool = False, timeout_s: float = 20.0) -> Iterator["Page"]:
    """A fresh tab with cookies of its own. An error in the page's console fails the test."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        accept_downloads=True,
    )
    context.set_default_timeout(timeout_s * 1000)
    errors: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(f"{message.text} {message.location}") if is_error(message) else None)
    try:
        yield page
    finally:
        context.close()
    assert not errors, f"errors in the browser's console: {errors}"


def is_error(message: "ConsoleMessage") -> bool:
    """Whether a console message is an error of ours: Streamlit itself looks for its server below each page's address first."""
    return message.type == "error" and "/_stcore/" not in message.location.get("url", "")


def settle(page: "Page") -> None:
    """Wait until the page has been drawn: Streamlit has no script running and every chart is there."""
    page.locator("[data-testid='stApp']").wait_for()
    page.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'")
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_function(
        "[...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))"
    )
