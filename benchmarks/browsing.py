"""The page in a browser, for commands that drive it: a server on a free port of the loopback interface, and a tab of Debian's chromium."""

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

from compiler.process import PROJECT, module_command, module_environment
from data.errors import PocketformerError

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
WIDE, NARROW = (1280, 900), (390, 844)
START_S = 300.0
PATIENCE_S = 180.0


@contextmanager
def served(home: Path, *, workers: bool = True) -> Iterator[str]:
    """`pocketformer serve` on the state folder `home`, or the page alone; its address.

    Raises:
        PocketformerError: it does not come up.
    """
    home.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = home / "serve.log"
    environment = {**module_environment(), "POCKETFORMER_HOME": str(home)}
    page = ["streamlit", "run", str(PROJECT / "app" / "main.py"), "--server.port", str(port)]
    command = module_command("app.cli", "serve", "--port", str(port)) if workers else module_command(*page)
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


@contextmanager
def browser_tab(*, size: tuple[int, int] = WIDE, dark: bool = False) -> "Iterator[Page]":
    """A fresh tab, closed with the block.

    Raises:
        PocketformerError: no chromium, or no playwright; or, at the end, an error in the browser's console.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise PocketformerError("the Python package playwright is missing; `make lint` installs it") from error
    if not os.path.exists(CHROMIUM):
        raise PocketformerError(f"there is no {CHROMIUM}; install the package chromium")
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", accept_downloads=True,
                reduced_motion="reduce",
            )  # fmt: skip
            context.set_default_timeout(PATIENCE_S * 1000)
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if _is_error(message) else None)
            yield page
        finally:
            browser.close()
    if errors:
        raise PocketformerError(f"errors in the browser's console: {'; '.join(errors)[:500]}")


def settled(page: "Page") -> None:
    """Wait until the page has been drawn: no script runs, and every chart is there."""
    page.locator("[data-testid='stApp']").wait_for()
    page.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'")
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_function(
        "[...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))"
    )


def _is_error(message: "ConsoleMessage") -> bool:
    """Streamlit looks for its own server below each page's address first: that is no error of ours."""
    return message.type == "error" and "/_stcore/" not in message.location.get("url", "")


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
    raise PocketformerError(f"{url} does not answer")
