"""Explore beside optuna-dashboard on the same trials: `python -m benchmarks.explore [--trials 100000] [--json FILE]`.

Both show the trials in chromium, each from a server of its own that is up already: seconds from the request of the page to its chart
(accuracy against latency), and, here, from a slider's step to the chart that shows it; in turns, medians of `--rounds`. Memory is of
the web process, at the end. Needs Debian's chromium and `make peers`. The trials, written once, stay in `--folder`.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from app.terminal import Progress, table
from benchmarks import machine
from benchmarks.browsing import chromium, free_port, missing_parts, page_command, serving
from data.errors import UsageError, exit_status_of
from data.home import subfolder

if TYPE_CHECKING:
    from playwright.sync_api import Page

RUNS = 20
PAGE_S = 180.0
DENSITY = "[...document.querySelectorAll('.js-plotly-plot .heatmaplayer image')].map(each => each.href.baseVal).join()"
DRAWN = "document.querySelector('.js-plotly-plot .main-svg') !== null"
SETTLED = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the trials are kept; else below POCKETFORMER_HOME")
    parser.add_argument("--fill-only", action="store_true", help="write the trials, time nothing")
    parser.add_argument("--alone", action="store_true", help="leave optuna-dashboard away")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("explore", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: optuna-dashboard, playwright or chromium is missing.
    """
    _check(options.alone)
    progress = Progress()
    folder = options.folder or subfolder("benchmarks", "explore")
    home, study = folder / f"home-{options.trials}", folder / f"optuna-{options.trials}.db"
    _fill(home, None if options.alone else study, options.trials, progress)
    if options.fill_only:
        return
    with ExitStack() as stack:
        settings = {"POCKETFORMER_HOME": str(home)}
        ours, our_process = stack.enter_context(_served(page_command, settings, "/_stcore/health", folder / "ours.log"))
        processes = {"pocketformer": our_process}
        if not options.alone:
            command = partial(_their_command, study)
            theirs, processes["optuna-dashboard"] = stack.enter_context(_served(command, {}, "/", folder / "theirs.log"))
        browser = stack.enter_context(chromium())

        def opened(url: str, done: Callable[["Page"], None]) -> tuple["Page", float]:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(PAGE_S * 1000)
            began = time.perf_counter()
            page.goto(url, wait_until="commit")
            done(page)
            return page, time.perf_counter() - began

        rows: dict[str, list[float]] = {"first content": [], "filter": [], "optuna-dashboard": []}
        for number in range(1, options.rounds + 1):
            progress.log(f"round {number} of {options.rounds}")
            # each round asks the store anew: nothing is answered from what was kept
            asked = f"limit={11 + number / 10:g}&ffn_mean=384&ffn_mean={1536 - 16 * number}"
            page, seconds = opened(f"{ours}/explore?{asked}", _chart_of_ours)
            rows["first content"].append(seconds)
            rows["filter"].append(_filter(page))
            page.close()
            if not options.alone:
                page, seconds = opened(f"{theirs}/dashboard/studies/1", _chart_of_theirs)
                rows["optuna-dashboard"].append(seconds)
                page.close()
        progress.close()
        memory_mb = {name: _memory_mb(process) for name, process in processes.items()}
    report = {
        **machine.facts(("streamlit", "optuna-dashboard")),
        "trials": options.trials,
        "seconds": rows,
        "memory_mb": memory_mb,
    }
    medians = {name: statistics.median(values) for name, values in rows.items() if values}
    ratio = None if options.alone else medians["optuna-dashboard"] / medians["first content"]
    print(
        table(
            ("", "median s", "all"),
            [
                (name, f"{medians[name]:.2f}", " ".join(f"{value:.2f}" for value in values))
                for name, values in rows.items()
                if values
            ],
        )
    )
    beside = (
        ""
        if options.alone
        else f"; first content is {ratio:.1f} times as fast, theirs takes {memory_mb['optuna-dashboard']:.0f} MB"
    )
    print(f"web process {memory_mb['pocketformer']:.0f} MB{beside}")
    machine.keep(report | {"ratio": ratio}, options.json)


def _check(alone: bool) -> None:
    missing = missing_parts()
    if not alone and find_spec("optuna_dashboard") is None:
        missing.append("the Python package optuna-dashboard")
    if missing:
        raise UsageError(f"missing: {', '.join(missing)}; `make peers` installs the packages, and Debian has chromium")


def _fill(home: Path, study: Path | None, trials: int, progress: Progress) -> None:
    """The same trials for both; what is there is left as it is."""
    from benchmarks.many_trials import fill, made

    if not (home / "filled").exists():
        progress.log(f"writing {trials} trials into a store")
        home.mkdir(parents=True, exist_ok=True)
        os.environ["POCKETFORMER_HOME"] = str(home)
        from data.store import open_store

        with open_store() as store:
            fill(store, trials, RUNS)
        (home / "filled").touch()
    if study is not None and not study.exists():
        progress.log(f"writing {trials} trials into a study")
        part = study.with_suffix(".part")
        part.unlink(missing_ok=True)
        _write_study(part, made(trials))
        part.rename(study)


def _write_study(path: Path, candidates: Iterator[Any]) -> None:
    """Optuna's own database with two objectives, so that its page draws the same front. Rows go in at once by SQL: a hundred thousand calls
    of `add_trial` would take an hour."""
    import sqlite3

    import optuna
    from optuna.distributions import IntDistribution, distribution_to_json

    from engine.architecture import Architecture

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(storage=f"sqlite:///{path}", study_name="many", directions=["minimize", "maximize"])
    sizes = {
        "layers": IntDistribution(1, 6),
        "hidden_size": IntDistribution(256, 384, step=64),
        "ffn_mean": IntDistribution(384, 1536),
    }
    written = {name: distribution_to_json(each) for name, each in sizes.items()}
    trials, params, values = [], [], []
    for number, each in enumerate(candidates):
        model = Architecture.parse(each.architecture)
        taken = {"layers": model.layers, "hidden_size": model.hidden_size, "ffn_mean": sum(model.ffn_sizes) // model.layers}
        done = each.accuracy is not None
        trials.append((number + 1, number, 1, "COMPLETE" if done else "FAIL", "2026-11-01 10:00:00", "2026-11-01 10:00:01"))
        params += [(number + 1, name, value, written[name]) for name, value in taken.items()]
        if done:
            values += [(number + 1, 0, each.latency_ms, "FINITE"), (number + 1, 1, each.accuracy, "FINITE")]
    with sqlite3.connect(path) as base:
        base.executemany(
            "INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete) VALUES (?, ?, ?, ?, ?, ?)",
            trials,
        )
        base.executemany(
            "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)", params
        )
        base.executemany("INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, ?)", values)
    base.close()
    found = optuna.load_study(study_name="many", storage=f"sqlite:///{path}").get_trials(deepcopy=False)
    assert len(found) == len(trials), "Optuna does not read the trials that were written"


def _their_command(study: Path, port: int) -> list[str]:
    script = Path(sys.executable).with_name("optuna-dashboard")
    return [str(script), f"sqlite:///{study}", "--host", "127.0.0.1", "--port", str(port)]


@contextmanager
def _served(
    command: Callable[[int], list[str]], environment: dict[str, str], health: str, log: Path
) -> Iterator[tuple[str, psutil.Process]]:
    """A server on a free port of the loopback interface, up: its address and process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(command(port), f"{url}{health}", log, environment) as server:
        yield url, psutil.Process(server.pid)


def _chart_of_ours(page: "Page") -> None:
    page.wait_for_function(DRAWN)


def _filter(page: "Page") -> float:
    """Seconds from the step of a slider to the chart without what it leaves out."""
    page.wait_for_function(SETTLED)
    page.get_by_text("Filter by latency, accuracy and sizes").click()
    slider = page.get_by_role("slider", name="Layers").first
    slider.wait_for()
    before = page.evaluate(DENSITY)
    began = time.perf_counter()
    slider.press("ArrowRight")
    page.wait_for_function(f"(before) => {DENSITY} !== before", arg=before)
    return time.perf_counter() - began


def _chart_of_theirs(page: "Page") -> None:
    """The Pareto front of both objectives, with its points."""
    page.wait_for_function("document.querySelector('.js-plotly-plot .main-svg .points, .js-plotly-plot .gl-canvas') !== null")


def _memory_mb(process: psutil.Process) -> float:
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)]) / 1e6


if __name__ == "__main__":
    main()
