"""Every strategy at equal budgets, on a table of one whole space.

    python -m benchmarks.search table TABLE.json --task stsb [--text FILE]    made once, in under two hours on two cores; resumed if interrupted
    python -m benchmarks.search run TABLE.json [--seeds 20] [--evaluations 100] [--limits 0.25,0.5] [--json FILE]

A run is the product's own search, whose measurements and accuracies come from the table. Limits are quantiles of the table's latencies.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.terminal import Progress
from app.terminal import table as text_table
from benchmarks import machine
from benchmarks.search.simulate import hypervolume, search, summary
from benchmarks.search.table import DEPTHS, FFN_SIZES, HIDDEN_SIZES, Table, feasible, make, read
from data.errors import UsageError, exit_status_of
from engine.settings import Settings
from engine.strategies import strategy_names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("table", help="measure and score a space")
    making.add_argument("table", type=Path, metavar="TABLE")
    making.add_argument("--task", default=Settings().task)
    making.add_argument("--teacher", default=Settings.teacher)
    making.add_argument("--text")
    making.add_argument("--distil-tokens", type=int, default=Settings.distil_tokens)
    making.add_argument("--distil-seconds", type=int, default=Settings.distil_seconds)
    for name, sizes in (("depths", DEPTHS), ("hidden-sizes", HIDDEN_SIZES), ("ffn-sizes", FFN_SIZES)):
        making.add_argument(f"--{name}", type=_sizes, default=sizes)
    running = commands.add_parser("run", help="compare strategies")
    running.add_argument("table", type=Path, metavar="TABLE")
    running.add_argument("--strategies", default=",".join(strategy_names()))
    running.add_argument("--seeds", type=int, default=20)
    running.add_argument("--evaluations", type=int, default=100)
    running.add_argument("--limits", default="0.25,0.5", help="quantiles of the table's latencies")
    running.add_argument("--screened", type=int, default=Settings.screened)
    running.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("search", lambda: _make(options) if options.command == "table" else _run(options)))


def _make(options: argparse.Namespace) -> None:
    names = ("task", "teacher", "text", "distil_tokens", "distil_seconds", "depths", "hidden_sizes", "ffn_sizes")
    progress = Progress()
    try:
        made = make(Settings(**{name: getattr(options, name) for name in names}), options.table, progress.bar)
    finally:
        progress.close()
    print(f"{len(made.rows)} architectures in {options.table}")


def _run(options: argparse.Namespace) -> None:
    table = read(options.table)
    if missing := table.missing():
        raise UsageError(
            f"{options.table} lacks {len(missing)} architectures of its space; finish it: python -m benchmarks.search table"
        )
    if options.seeds < 1 or options.evaluations < 1:
        raise UsageError("give 1 seed or more, and 1 evaluation or more")
    latencies, progress = [row.latency_ms for row in table.rows.values()], Progress()
    found = []
    for quantile in _quantiles(options.limits):
        limit_ms = float(np.quantile(latencies, quantile))
        found.append({"quantile": quantile, **_at(table, limit_ms, options, progress)})
    progress.close()
    report = {
        **machine.facts(("optuna", "torch")),
        "table": table.settings.to_dict(),
        "architectures": len(table.rows),
        "seeds": options.seeds,
        "evaluations": options.evaluations,
        "screened": options.screened,
        "limits": found,
    }
    machine.keep(report, options.json)
    print("\n\n".join(map(_rendered, found)))


def _at(table: Table, limit_ms: float, options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Every strategy under one limit."""
    rows = list(table.rows.values())
    within = feasible(rows, limit_ms)
    optimum, worst = max(row.accuracy for row in within), min(row.accuracy for row in rows)
    volume = hypervolume(within, limit_ms, worst) or 1.0
    figures: dict[str, Any] = {}
    for strategy in options.strategies.split(","):
        traces = []
        for seed in range(options.seeds):
            progress.bar(f"{strategy} within {limit_ms:.2f} ms, seed {seed}", seed / options.seeds)
            traces.append(search(table, strategy, seed, options.evaluations, limit_ms, options.screened))
        figures[strategy] = summary(traces, optimum, volume, options.evaluations)
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
