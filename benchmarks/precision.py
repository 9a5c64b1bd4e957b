"""What 8-bit integers cost and bring: `python -m benchmarks.precision --task stsb [--json FILE]`.

The teacher itself is fine-tuned on a task and compiled in every precision; each compiled model scores the dev split. Then they are
timed in turns, by the usual protocol.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from app.terminal import Progress, table
from benchmarks import machine
from compiler.build import build
from compiler.devices import HOST
from compiler.isa import cores
from compiler.measure import measure
from compiler.rounds import ROUNDS, Timer, in_turns, middle
from compiler.session import WEIGHTS
from compiler.targets import precisions_of
from data.errors import exit_status_of
from data.home import subfolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="stsb")
    parser.add_argument("--teacher", default="minilm")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("precision", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: unknown task or teacher.
        CompileError, MeasureError: a model does not compile, or cannot be timed.
    """
    from data.tasks import load_task
    from engine.candidates import evaluate_candidate, export_candidate, score_compiled
    from engine.settings import Settings
    from engine.teacher import load_teacher

    progress = Progress()

    def tell(message: str, fraction: float | None = None, data: Mapping[str, Any] | None = None) -> None:
        progress.bar(message, fraction or 0.0)

    settings = Settings(
        task=options.task,
        teacher=options.teacher,
        final_epochs=options.epochs,
        seed=options.seed,
        seq_len=options.seq_len,
        threads=options.threads,
    )
    teacher = load_teacher(options.teacher)
    task = load_task(options.task)
    workdir = subfolder("scratch") / f"precision-{options.teacher}-{options.task}-{options.epochs}-{options.seed}"
    tuned = evaluate_candidate(
        teacher.architecture,
        settings,
        stage="final",
        workdir=workdir,
        progress=tell,
    )
    report: dict[str, Any] = {
        **machine.facts(("apache-tvm", "torch")),
        **{name: getattr(options, name) for name in ("task", "teacher", "epochs", "seed", "seq_len", "threads")},
        "metric": task.metric,
        "torch": tuned.accuracy,
        "precisions": {},
    }
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        request = export_candidate(teacher.architecture, settings, tuned.weights, Path(scratch) / "export")
        timers: dict[str, Timer] = {}
        for precision in precisions_of(HOST):
            progress.log(f"compiling in {precision}")
            built = build(dataclasses.replace(request, precision=precision, seq_lens=()), Path(scratch) / precision)
            progress.log(f"scoring the dev split in {precision}")
            report["precisions"][precision] = {
                "accuracy": score_compiled(built.folder, settings)[task.metric],
                "max_abs_error": built.max_abs_error,
                "kernels": built.kernels,
                "weights_mb": (built.folder / WEIGHTS).stat().st_size / 1e6,
            }
            timers[precision] = partial(measure, built.folder, threads=options.threads)
        taken = in_turns(
            timers, options.rounds, lambda number, name: progress.bar(f"round {number}: {name}", number / options.rounds)
        )
    for precision, latencies in taken.items():
        report["precisions"][precision]["latency_ms"] = middle(latencies)
    progress.close()
    machine.keep(report, options.json)
    print(render(report))


def render(report: dict[str, Any]) -> str:
    base = report["precisions"]["fp32"]["latency_ms"]["median"]
    rows = [
        (
            precision,
            f"{found['accuracy']:.4f}",
            f"{found['max_abs_error']:.1e}",
            f"{found['weights_mb']:.1f}",
            f"{found['latency_ms']['median']:.2f}",
            f"{base / found['latency_ms']['median']:.2f}",
        )
        for precision, found in report["precisions"].items()
    ]
    title = f"{report['teacher']} on {report['task']}, {report['epochs']} epochs, seed {report['seed']}; torch: {report['torch']:.4f}"
    header = ("precision", f"dev {report['metric']}", "largest difference", "weights (MB)", "ms", "times fp32's speed")
    return f"{title}\n{table(header, rows)}"


if __name__ == "__main__":
    main()
