"""How soon the web page is there: `python -m benchmarks.pages`. Chromium and Playwright are needed (`requirements-dev.txt`).

A store with searches of synthetic trials is served, and the page beside it, as `pocketformer serve` does. Each page of the navigation is
opened in a fresh browser context, and the time to its heading taken. Then 20 tabs watch one run while lines are added to its log, as often
as training and compiling beside each other do, and trials: the time from a trial's commit until each tab shows it. A page written plainly in Streamlit (`benchmarks.plain_page`) is opened and watched in the same
run: what of these times is the framework's and this machine's, with the browsers on the same cores as the server.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.navigation import Entry, entries
from benchmarks.browsing import chromium, free_port, page_command, serving
from benchmarks.machine import facts, keep
from benchmarks.many_trials import fill
from compiler.process import module_command
from data.store import Store, open_store
from jobs.pulse import PROGRESS_S

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
START_S, ANSWER_S = 120.0, 60.0
RUNS, TRIALS = 2, 600
PLAIN, PLAIN_PAGE = "plain", ROOT / "benchmarks" / "plain_page.py"
HOME_S, PAGE_S, UPDATE_S, MEMORY_GB = 1.5, 2.5, 2.0, 1.0  # what is asked
LANES = 2  # training and compiling
WATCH = """(text) => {
    // Not innerText of the whole page: that lays it out anew at every change, which would take longer than drawing it.
    const seen = () => [...document.querySelectorAll('[data-testid=stMetricValue]')].some(each => each.textContent.includes(text));
    window.seenAt = null;
    const note = () => { if (window.seenAt === null && seen()) window.seenAt = Date.now(); };
    note();
    window.watcher?.disconnect();
    window.watcher = new MutationObserver(note);
    window.watcher.observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3, help="openings of each page after the first")
    parser.add_argument("--tabs", type=int, default=20, help="browsers that watch one run")
    parser.add_argument("--updates", type=int, default=5, help="trials added while they watch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the report here")
    args = parser.parse_args()
    report = measure(args.rounds, args.tabs, args.updates)
    keep(report, args.json)
    print(table(report))
    return 0


def measure(rounds: int, tabs: int, updates: int) -> dict[str, Any]:
    """The whole report, on a state folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["POCKETFORMER_HOME"] = folder
        with store_served(Path(folder)), open_store() as store:
            fill(store, TRIALS, RUNS)
            run_id = store.runs(limit=1)[0].run_id
            number = Path(folder) / "number"
            number.write_text("0")
            home = {"POCKETFORMER_HOME": folder, "POCKETFORMER_PLAIN_PAGE": str(number)}
            with (
                page_served(page_command, Path(folder) / "web.log", home) as (url, process),
                page_served(plain_command, Path(folder) / "plain.log", home) as (plain_url, _),
                chromium() as browser,
            ):
                addresses = {entry.name: f"{url}/{path_of(entry, run_id)}" for entry in entries()} | {PLAIN: plain_url}
                pages: dict[str, list[float]] = {name: [] for name in addresses}
                for _ in range(1 + rounds):
                    for name, address in addresses.items():
                        pages[name].append(opened(browser, address))
                for name, times in pages.items():
                    print(f"{name}: {', '.join(f'{each:.2f}' for each in times)} s", file=sys.stderr, flush=True)
                with lines_logged(store, run_id):
                    watched = watch(browser, f"{url}/run?run={run_id}", tabs, trials_added(store, run_id, updates))
                memory_gb = resident_gb(process.pid)
                plainly = watch(browser, plain_url, tabs, numbers_written(number, updates))
    return {
        "machine": facts(("streamlit", "plotly", "duckdb", "playwright")),
        "pages_s": pages,
        "updates": watched,
        "plain_updates": plainly,
        "memory_gb": memory_gb,
    }


def plain_command(port: int) -> list[str]:
    """As `app/.streamlit/config.toml` has it of ours."""
    options = {
        "server.port": str(port),
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "server.fileWatcherType": "none",
    }
    options |= {"browser.gatherUsageStats": "false", "client.toolbarMode": "viewer", "runner.magicEnabled": "false"}
    return module_command("streamlit", "run", str(PLAIN_PAGE), *(f"--{name}={value}" for name, value in options.items()))


@contextmanager
def page_served(
    command: Callable[[int], list[str]], log: Path, environment: Mapping[str, str]
) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(command(port), f"{url}/_stcore/health", log, environment) as process:
        yield url, process


def path_of(entry: Entry, run_id: str) -> str:
    return f"{'' if entry is entries()[0] else entry.name}{f'?run={run_id}' if entry.name == 'run' else ''}"


def opened(browser: "Browser", address: str) -> float:
    """Seconds until a page's heading is seen, in a browser without a cache."""
    context = browser.new_context()
    context.set_default_timeout(1000 * ANSWER_S)
    page = context.new_page()
    began = time.monotonic()
    page.goto(address, wait_until="commit")
    page.locator("h1").first.wait_for()
    seconds = time.monotonic() - began
    context.close()
    return seconds


@contextmanager
def lines_logged(store: Store, run_id: str) -> Iterator[None]:
    over = threading.Event()

    def log() -> None:
        while not over.wait(PROGRESS_S / LANES):
            store.log(run_id, f"a line of progress, at {time.monotonic():.0f} s")

    thread = threading.Thread(target=log)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def trials_added(store: Store, run_id: str, updates: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What the Run page shows after each of some trials more, and what commits it."""
    run, trials = store.run(run_id, with_state=False), store.trials(run_id)
    total = len(trials) + updates
    store.commit_step(run_id, run.state_version, state={}, status="running", settings={**run.settings, "trials": total})
    for number in range(len(trials) + 1, total + 1):
        version = store.run(run_id, with_state=False).state_version
        added = [replace(trials[-1], trial=number)]
        yield f"{number} of {total}", partial(store.commit_step, run_id, version, state={}, trials=added)


def numbers_written(path: Path, updates: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The same of the plain page."""
    for number in range(1, updates + 1):
        yield f"{number} of", partial(path.write_text, str(number))


def watch(browser: "Browser", address: str, tabs: int, updates: Iterable[tuple[str, Callable[[], object]]]) -> dict[str, Any]:
    """Seconds from each commit until each tab shows it, and the errors that pages had."""
    errors: list[str] = []
    changes = iter(updates)
    change = next(changes, None)  # by which a run is made one that goes on, before anybody watches it
    watching = [tab for tab in (_tab(browser, address, errors) for _ in range(tabs)) if tab is not None]
    print(f"{len(watching)} of {tabs} tabs watch {address}", file=sys.stderr, flush=True)
    seconds: list[float] = []
    missed = 0
    while change is not None:
        text, commit = change
        for page in watching:
            page.evaluate(WATCH, text)
        commit()
        committed_ms = 1000 * time.time()
        for page in watching:
            try:
                page.wait_for_function("window.seenAt !== null")
                seconds.append((page.evaluate("window.seenAt") - committed_ms) / 1000)
            except Exception:  # Playwright's own kinds; whatever it was, this tab did not show the trial
                missed += 1
        change = next(changes, None)
    for page in watching:
        missed += page.get_by_text("This part of the page failed").count()
        page.context.close()
    found = {
        "tabs": tabs,
        "opened": len(watching),
        "seconds": [max(each, 0.0) for each in seconds],
        "missed": missed,
        "errors": errors,
    }
    print(watch_line(address, found), file=sys.stderr, flush=True)
    return found


def _tab(browser: "Browser", address: str, errors: list[str]) -> "Page | None":
    """None when it did not open in time, beside those that are open."""
    from playwright.sync_api import TimeoutError as Late

    context = browser.new_context()
    context.set_default_timeout(1000 * ANSWER_S)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(address, wait_until="commit")
        page.locator("h1").first.wait_for()
    except Late:
        context.close()
        return None
    return page


def watch_line(what: str, watched: Mapping[str, Any], asked: str = "") -> str:
    seconds = watched["seconds"]
    times = f"median {statistics.median(seconds):.2f} s{asked}, longest {max(seconds):.2f} s" if seconds else "none seen"
    return (
        f"{watched['opened']} of {watched['tabs']} tabs on {what}, {len(seconds)} updates: {times}; {watched['missed']} missed, "
        f"{len(watched['errors'])} errors"
    )


@contextmanager
def store_served(folder: Path) -> Iterator[None]:
    server = subprocess.Popen([sys.executable, "-m", "data.store_server"], cwd=ROOT)
    try:
        _wait(lambda: (folder / "store.json").exists(), "the store's server")
        yield
    finally:
        _end(server)


def resident_gb(pid: int) -> float:
    """A process's resident memory, 10^9 bytes."""
    import psutil

    return psutil.Process(pid).memory_info().rss / 1e9


def table(report: dict[str, Any]) -> str:
    lines = ["page            first s   then s (median)   asked s"]
    for name, times in report["pages_s"].items():
        asked = "" if name == PLAIN else f"{HOME_S if name == 'home' else PAGE_S:9.1f}"
        lines.append(f"{name:15s} {times[0]:7.2f} {statistics.median(times[1:] or times):17.2f} {asked}".rstrip())
    lines.append(watch_line("a run of 300 trials", report["updates"], f" (asked {UPDATE_S:g})"))
    lines.append(watch_line("the plain page", report["plain_updates"]))
    lines.append(f"web process: {report['memory_gb']:.2f} GB (asked under {MEMORY_GB:g})")
    lines.append(json.dumps(report["machine"]))
    return "\n".join(lines)


def _wait(condition: Any, what: str) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not start within {START_S:.0f} s")
        time.sleep(0.05)


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
