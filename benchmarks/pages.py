"""How soon the web page is there: `python -m benchmarks.pages`. Chromium and Playwright are needed (`requirements-dev.txt`).

A store with searches of synthetic trials is served, and the page beside it, as `pocketformer serve` does. Each page of the navigation is
opened in a fresh browser context, and the time to its heading taken. Then 20 tabs watch one run while trials are added to it: the time
from a trial's commit until each tab shows it.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.navigation import Entry, entries
from benchmarks.browsing import chromium, free_port, page_command, serving
from benchmarks.machine import facts, keep
from benchmarks.many_trials import fill
from data.store import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
START_S, ANSWER_S = 120.0, 60.0
RUNS, TRIALS = 2, 600
HOME_S, PAGE_S, UPDATE_S, MEMORY_GB = 1.5, 2.5, 2.0, 1.0  # what is asked
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
            port = free_port()
            url, home = f"http://127.0.0.1:{port}", {"POCKETFORMER_HOME": folder}
            page = serving(page_command(port), f"{url}/_stcore/health", Path(folder) / "web.log", home)
            with page as process, chromium() as browser:
                pages = {entry.name: opened(browser, url, entry, run_id, 1 + rounds) for entry in entries()}
                watched = watch(browser, f"{url}/run?run={run_id}", store, run_id, tabs, updates)
                memory_gb = resident_gb(process.pid)
    return {
        "machine": facts(("streamlit", "plotly", "duckdb", "playwright")),
        "pages_s": pages,
        "updates": watched,
        "memory_gb": memory_gb,
    }


def opened(browser: "Browser", url: str, entry: Entry, run_id: str, times: int) -> list[float]:
    """Seconds until a page's heading is seen, each in a browser without a cache; the first also imports what the page needs."""
    address = f"{url}/{'' if entry is entries()[0] else entry.name}{f'?run={run_id}' if entry.name == 'run' else ''}"
    found = []
    for _ in range(times):
        context = browser.new_context()
        context.set_default_timeout(1000 * ANSWER_S)
        page = context.new_page()
        began = time.monotonic()
        page.goto(address, wait_until="commit")
        page.locator("h1").first.wait_for()
        found.append(time.monotonic() - began)
        context.close()
    print(f"{entry.name}: {', '.join(f'{each:.2f}' for each in found)} s", file=sys.stderr, flush=True)
    return found


def watch(browser: "Browser", address: str, store: Store, run_id: str, tabs: int, updates: int) -> dict[str, Any]:
    """Seconds from each commit until each tab shows it, and the errors that pages had."""
    errors: list[str] = []
    run = store.run(run_id, with_state=False)
    trials = store.trials(run_id)
    store.commit_step(
        run_id, run.state_version, state={}, status="running", settings={**run.settings, "trials": len(trials) + updates}
    )
    watching = [_tab(browser, address, errors) for _ in range(tabs)]
    print(f"{tabs} tabs watch", file=sys.stderr, flush=True)
    seconds: list[float] = []
    missed = 0
    for number in range(len(trials) + 1, len(trials) + 1 + updates):
        text = f"{number} of {len(trials) + updates}"
        for page in watching:
            page.evaluate(WATCH, text)
        version = store.run(run_id, with_state=False).state_version
        store.commit_step(run_id, version, state={}, trials=[replace(trials[-1], trial=number)])
        committed_ms = 1000 * time.time()
        for page in watching:
            try:
                page.wait_for_function("window.seenAt !== null")
                seconds.append((page.evaluate("window.seenAt") - committed_ms) / 1000)
            except Exception:  # Playwright's own kinds; whatever it was, this tab did not show the trial
                missed += 1
    for page in watching:
        missed += page.get_by_text("This part of the page failed").count()
        page.context.close()
    return {"tabs": tabs, "seconds": [max(each, 0.0) for each in seconds], "missed": missed, "errors": errors}


def _tab(browser: "Browser", address: str, errors: list[str]) -> "Page":
    context = browser.new_context()
    context.set_default_timeout(1000 * ANSWER_S)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.locator("h1").first.wait_for()
    return page


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
        lines.append(
            f"{name:15s} {times[0]:7.2f} {statistics.median(times[1:] or times):17.2f} {HOME_S if name == 'home' else PAGE_S:9.1f}"
        )
    watched = report["updates"]
    seconds = watched["seconds"]
    if seconds:
        lines.append(
            f"{watched['tabs']} tabs, {len(seconds)} updates: median {statistics.median(seconds):.2f} s (asked {UPDATE_S:g}), longest "
            f"{max(seconds):.2f} s; {watched['missed']} missed, {len(watched['errors'])} errors"
        )
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
