"""The page in a browser, for commands and tests that drive it: servers on free ports of the loopback interface, Debian's chromium, its tabs."""

import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.process import PROJECT, module_command, module_environment
from data.errors import PocketformerError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

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
WIDE, NARROW = (1280, 900), (390, 844)
START_S = 300.0
END_S = 60.0
PATIENCE_S = 180.0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def page_command(port: int) -> list[str]:
    """The page's server alone."""
    return module_command("streamlit", "run", str(PROJECT / "app" / "main.py"), "--server.port", str(port))


@contextmanager
def serving(
    command: Sequence[str], url: str, log: Path, environment: Mapping[str, str], start_s: float = START_S
) -> "Iterator[subprocess.Popen[bytes]]":
    """A server whose `url` answers, ended with the block.

    Raises:
        PocketformerError: it does not come up.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=PROJECT, env={**module_environment(), **environment}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(url, server, log, start_s)
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(END_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path, timeout_s: float = START_S) -> None:
    """
    Raises:
        PocketformerError: the server has ended, or `url` does not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise PocketformerError(f"{url} does not answer:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def served(home: Path, *, workers: bool = True) -> Iterator[str]:
    """`pocketformer serve` on the state folder `home`, or the page alone; its address.

    Raises:
        PocketformerError: it does not come up.
    """
    port = free_port()
    command = module_command("app.cli", "serve", "--port", str(port)) if workers else page_command(port)
    url = f"http://127.0.0.1:{port}"
    with serving(command, f"{url}/_stcore/health", home / "serve.log", {"POCKETFORMER_HOME": str(home)}):
        yield url


def missing_parts() -> list[str]:
    """What driving the page takes and this machine lacks."""
    missing = [] if Path(CHROMIUM).exists() else [CHROMIUM]
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        missing.append("the Python package playwright")
    return missing


@contextmanager
def chromium() -> "Iterator[Browser]":
    """
    Raises:
        PocketformerError: no chromium, or no playwright.
    """
    if missing := missing_parts():
        raise PocketformerError(
            f"no {' and no '.join(missing)}; Debian's package is chromium, and `make lint` installs playwright"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(
    browser: "Browser", *, size: tuple[int, int] = WIDE, dark: bool = False, timeout_s: float = PATIENCE_S
) -> "Iterator[Page]":
    """A fresh tab with cookies of its own, closed with the block.

    Raises:
        PocketformerError: at the end, an error in the page's console.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", reduced_motion="reduce",
        accept_downloads=True,
    )  # fmt: skip
    context.set_default_timeout(timeout_s * 1000)
    errors: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(f"{message.text} {message.location}") if is_error(message) else None)
    try:
        yield page
    finally:
        context.close()
    if errors:
        raise PocketformerError(f"errors in the browser's console: {'; '.join(errors)[:1000]}")


@contextmanager
def browser_tab(*, size: tuple[int, int] = WIDE, dark: bool = False) -> "Iterator[Page]":
    """A tab of a browser of its own.

    Raises:
        PocketformerError: no chromium, or no playwright; or, at the end, an error in the page's console.
    """
    with chromium() as browser, tab(browser, size=size, dark=dark) as page:
        yield page


def is_error(message: "ConsoleMessage") -> bool:
    """Whether a console message is an error of ours: Streamlit itself looks for its server below each page's address first."""
    return message.type == "error" and "/_stcore/" not in message.location.get("url", "")


def settled(page: "Page") -> None:
    """Wait until the page has been drawn: Streamlit has no script running and every chart is there."""
    page.locator("[data-testid='stApp']").wait_for()
    page.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'")
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_function(
        "[...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))"
    )
