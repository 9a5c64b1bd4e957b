"""Every strategy at equal budgets, on a table of one whole space.

    python -m benchmarks.search table TABLE.json --task stsb [--text FILE]    made once, in under two hours on two cores; resumed if interrupted
    python -m benchmarks.search run TABLE.json [--seeds 20] [--evaluations 100] [--limits 0.25,0.5] [--json FILE] [--html FILE]

A run is the product's own search, whose measurements and accuracies come from the table. Limits are quantiles of the table's latencies.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.terminal import Progress
from app.terminal import table as text_table
from benchmarks import machine
from benchmarks.search.simulate import Trace, hypervolume, one_thread, search, summary
from benchmarks.search.table import (
    DEPTHS,
    FFN_SIZES,
    HIDDEN_SIZES,
    Table,
    add_accuracies,
    add_latencies,
    feasible,
    opened,
    read,
)
from compiler.isa import cores
from data.errors import UsageError, exit_status_of
from engine.settings import Settings
from engine.strategies import strategy_names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("table", help="score and measure a space")
    making.add_argument("table", type=Path, metavar="TABLE")
    making.add_argument("--task", default=Settings().task)
    making.add_argument("--teacher", default=Settings.teacher)
    making.add_argument("--text")
    making.add_argument("--distil-tokens", type=int, default=Settings.distil_tokens)
    making.add_argument("--distil-seconds", type=int, default=Settings.distil_seconds)
    making.add_argument("--only", choices=("accuracies", "latencies"), help="only this part of it")
    for name, sizes in (("depths", DEPTHS), ("hidden-sizes", HIDDEN_SIZES), ("ffn-sizes", FFN_SIZES)):
        making.add_argument(f"--{name}", type=_sizes, default=sizes)
    running = commands.add_parser("run", help="compare strategies")
    running.add_argument("table", type=Path, metavar="TABLE")
    running.add_argument("--strategies", default=",".join(strategy_names()), help="each for itself, or with its phases: tpe/2")
    running.add_argument("--seeds", type=int, default=20)
    running.add_argument("--evaluations", type=int, default=100)
    running.add_argument("--limits", default="0.25,0.5", help="quantiles of the table's latencies")
    running.add_argument("--screened", type=int, default=Settings.screened)
    running.add_argument("--processes", type=int, default=cores())
    running.add_argument("--json", type=Path, metavar="FILE")
    running.add_argument("--html", type=Path, metavar="FILE", help="regret after each evaluation, with bands over seeds")
    options = parser.parse_args()
    sys.exit(exit_status_of("search", lambda: _make(options) if options.command == "table" else _run(options)))


def _make(options: argparse.Namespace) -> None:
    names = ("task", "teacher", "text", "distil_tokens", "distil_seconds", "depths", "hidden_sizes", "ffn_sizes")
    progress = Progress()
    try:
        made = opened(Settings(**{name: getattr(options, name) for name in names}), options.table)
        if options.only != "latencies":
            add_accuracies(made, options.table, progress.bar)
        if options.only != "accuracies":
            add_latencies(made, options.table, progress.bar)
    finally:
        progress.close()
    print(f"{len(made.accuracies)} accuracies and {len(made.latencies)} latencies in {options.table}")


def _run(options: argparse.Namespace) -> None:
    table = read(options.table)
    if missing := table.missing():
        raise UsageError(
            f"{options.table} lacks {len(missing)} architectures of its space; finish it: python -m benchmarks.search table"
        )
    if options.seeds < 1 or options.evaluations < 1 or options.processes < 1:
        raise UsageError("give 1 seed or more, 1 evaluation or more, and 1 process or more")
    latencies = [row.latency_ms for row in table.rows.values()]
    quantiles = _quantiles(options.limits)
    limits_ms = [float(np.quantile(latencies, quantile)) for quantile in quantiles]
    traces = _traces(table, limits_ms, options)
    found = [
        {"quantile": quantile, **_figures(table, limit_ms, traces[limit_ms], options.evaluations)}
        for quantile, limit_ms in zip(quantiles, limits_ms, strict=True)
    ]
    report = {
        **machine.facts(("optuna", "torch", "scipy")),
        "table": table.settings.to_dict(),
        "architectures": len(table.rows),
        "seeds": options.seeds,
        "evaluations": options.evaluations,
        "screened": options.screened,
        "limits": found,
    }
    machine.keep(report, options.json)
    if options.html:
        from benchmarks.search.figure import write

        write(
            options.html, [(f"within {each['limit_ms']:.2f} ms", each["optimum"], traces[each["limit_ms"]]) for each in found]
        )
    print("\n\n".join(map(_rendered, found)))


def _traces(table: Table, limits_ms: Sequence[float], options: argparse.Namespace) -> dict[float, dict[str, list[Trace]]]:
    """Every search, by limit and strategy in the order of seeds; several at once."""
    asked = []
    for limit_ms in limits_ms:
        for strategy in options.strategies.split(","):
            name, _, phases = strategy.partition("/")
            if phases not in ("", "1", "2"):
                raise UsageError(f"--strategies: '{strategy}' asks for {phases} phases; give 1 or 2")
            for seed in range(options.seeds):
                settings = replace(
                    table.settings,
                    strategy=name,
                    phases=int(phases or 0),
                    seed=seed,
                    trials=options.evaluations,
                    latency_ms=limit_ms,
                    screened=options.screened,
                )
                asked.append((limit_ms, strategy, settings))
    found: dict[float, dict[str, list[Trace]]] = {limit_ms: {} for limit_ms in limits_ms}
    progress, context = Progress(), multiprocessing.get_context("spawn")  # torch's threads do not outlive a fork
    several = ProcessPoolExecutor(options.processes, context, one_thread) if options.processes > 1 else nullcontext()
    with several as pool:
        searches = (pool.map if pool else map)(partial(search, table), [settings for _, _, settings in asked])
        for number, ((limit_ms, strategy, settings), trace) in enumerate(zip(asked, searches, strict=True)):
            progress.bar(f"{strategy} within {limit_ms:.2f} ms, seed {settings.seed}", number / len(asked))
            found[limit_ms].setdefault(strategy, []).append(trace)
    progress.close()
    return found


def _figures(table: Table, limit_ms: float, traces: Mapping[str, Sequence[Trace]], evaluations: int) -> dict[str, Any]:
    """Of every strategy under one limit."""
    rows = list(table.rows.values())
    within = feasible(rows, limit_ms)
    optimum, worst = max(row.accuracy for row in within), min(row.accuracy for row in rows)
    volume = hypervolume(within, limit_ms, worst) or 1.0
    figures = {strategy: summary(found, optimum, volume, evaluations) for strategy, found in traces.items()}
    return {"limit_ms": limit_ms, "feasible": len(within), "optimum": optimum, "strategies": figures}


def _rendered(found: Mapping[str, Any]) -> str:
    head = f"within {found['limit_ms']:.2f} ms: {found['feasible']} architectures, the best {found['optimum']:.4f}"
    rows = [
        [
            strategy,
            each["evaluations"],
            f"{each['accuracy']:.4f} ± {each['accuracy_sd']:.4f}",
            f"{100 * each['regret']:.2f}",
            f"{each['close']:.0%}",
            f"{each['hypervolume']:.1%} ± {each['hypervolume_sd']:.1%}",
        ]
        for strategy, marks in found["strategies"].items()
        for each in marks
    ]
    columns = ["strategy", "evaluations", "best accuracy", "regret, points", "seeds within 0.3", "hypervolume"]
    return f"{head}\n{text_table(columns, rows)}"


def _quantiles(text: str) -> list[float]:
    try:
        quantiles = [float(each) for each in text.split(",")]
    except ValueError:
        quantiles = [-1.0]
    if not all(0 < each <= 1 for each in quantiles):
        raise UsageError(f"--limits are quantiles between 0 and 1, such as 0.25,0.5; got {text}")
    return quantiles


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(",") if size.strip())


if __name__ == "__main__":
    main()
