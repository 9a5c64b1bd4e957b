"""How long compiling takes: with an empty kernel cache, with a full one, and over a search's candidates.

    python -m benchmarks.compile_time --json compile_time.json
    python -m benchmarks.compile_time --models minilm-l6 --candidates 0

All in a state folder of its own, so nothing is left from earlier compilations but the linker's C library, which a machine makes once
(its time is reported apart). *Export* is torch's own, before the compiler; *cold* has no kernels, tiles tried by measurement; *cached* has
them all: the first one in a process, whose compiling process starts too, and the median of later ones. A search's candidates come from the
search space of the default teacher, by chance; a kernel that is compiled twice over them makes the benchmark fail.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from app.terminal import Progress, table
from benchmarks import machine
from compiler import cache, zig
from compiler.build import BuildRequest, build
from compiler.isa import host
from compiler.workers import cool_down, warm_up
from data.errors import CompileError, exit_status_of
from engine.architecture import DEFAULT_SEQ_LEN, Architecture
from engine.history import History, Tried
from engine.proposals import next_proposal
from engine.settings import Settings
from engine.space import SearchSpace, phase_one_trials
from engine.strategies import make_strategy
from engine.teacher import teacher_architecture

Result = TypeVar("Result")
MODELS = "bert-base,minilm-l6"
CANDIDATES = 20
REPEATS = 5


@dataclass
class Row:
    """One model's or candidate's times, in seconds, and memory of the compiling process with all that it starts."""

    model: str
    export_s: float
    compiled_s: float
    kernels: int
    kernels_compiled: int
    peak_memory_mb: int
    cached_first_s: float | None = None
    cached_s: list[float] = field(default_factory=list)
    cached_peak_memory_mb: int | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=MODELS, metavar="NAMES")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="of a search; 0 for none")
    parser.add_argument("--seq-len", type=int, default=DEFAULT_SEQ_LEN, metavar="TOKENS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("compile_time", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        CompileError: a model does not compile, or the candidates had a kernel compiled twice.
    """
    progress = Progress()
    models = [name for name in options.models.split(",") if name]
    with tempfile.TemporaryDirectory(prefix="pocketformer-compile-time-") as home:
        os.environ["POCKETFORMER_HOME"] = home
        progress.log("making the linker's C library")
        linker_s = timed(lambda: zig.prepare(host(), Path(home)))[0]
        rows = [measured(model, options.seq_len, Path(home), progress) for model in models]
        found = searched(options.candidates, options.seq_len, Path(home), progress)
    progress.close()
    report = {
        **machine.facts(("apache-tvm", "torch", "ziglang")),
        "seq_len": options.seq_len,
        "linker_s": linker_s,
        "models": [vars(row) for row in rows],
        "candidates": [vars(row) for row in found],
        "candidates_s": sum(row.compiled_s for row in found),
        "candidates_kernels": sum(row.kernels_compiled for row in found),
    }
    machine.keep(report, options.json)
    print(render(rows, found, linker_s))


def measured(model: str, seq_len: int, home: Path, progress: Progress) -> Row:
    """Cold, then cached, of one model."""
    from engine.export import export_reference, reference_model

    reference = reference_model(model)
    progress.log(f"{model}: exporting")
    with tempfile.TemporaryDirectory(dir=home) as folder:
        export_s, exported = timed(lambda: export_reference(reference, seq_len, Path(folder)))
        request, out = BuildRequest(*exported), Path(folder) / "built"
        cache.forget_kernels()
        cool_down()
        progress.log(f"{model}: compiling all kernels")
        row = row_of(model, export_s, request, out)
        cool_down()
        progress.log(f"{model}: compiling with all kernels cached")
        row.cached_first_s, _ = timed(lambda: build(request, out))
        for _ in range(REPEATS):
            cached_s, built = timed(lambda: build(request, out))
            row.cached_s.append(cached_s)
            row.cached_peak_memory_mb = max(row.cached_peak_memory_mb or 0, built.peak_memory_mb)
    return row


def searched(count: int, seq_len: int, home: Path, progress: Progress) -> list[Row]:
    """A search's candidates, one after another, from an empty kernel cache.

    Raises:
        CompileError: more kernels were compiled than there are.
    """
    cache.forget_kernels()
    warm_up()
    rows = []
    for number, architecture in enumerate(candidates(count)):
        progress.log(f"candidate {number + 1} of {count}: {architecture}")
        rows.append(compiled_once(str(architecture), seq_len, home))
    compiled, kept = sum(row.kernels_compiled for row in rows), cache.kernels_kept()
    if compiled != kept:
        raise CompileError(f"{compiled} kernels were compiled for {count} candidates, but only {kept} differ")
    return rows


def compiled_once(model: str, seq_len: int, home: Path) -> Row:
    from engine.export import export_reference, reference_model

    reference = reference_model(model)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        export_s, exported = timed(lambda: export_reference(reference, seq_len, Path(folder)))
        return row_of(model, export_s, BuildRequest(*exported), Path(folder) / "built")


def candidates(count: int) -> list[Architecture]:
    """What a search by chance proposes, depths first, each once."""
    space = SearchSpace.for_teacher(teacher_architecture("minilm"))
    strategy = make_strategy("random", space.vocabulary(), seed=0)
    tried, chosen = History(), list[Architecture]()
    for phase, trials in ((1, phase_one_trials(count, Settings().phase_one_share)), (2, count)):
        while len(tried) < trials:
            proposal = next_proposal(space, strategy, phase, space.depths[-1], tried, math.inf)
            if proposal is None:
                break
            tried.put(Tried(proposal.architecture))
            chosen.append(proposal.architecture)
    return chosen


def row_of(model: str, export_s: float, request: BuildRequest, out: Path) -> Row:
    compiled_s, built = timed(lambda: build(request, out))
    return Row(model, export_s, compiled_s, built.kernels, built.kernels_compiled, built.peak_memory_mb)


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """(seconds, what it returned)"""
    start = time.monotonic()
    result = work()
    return time.monotonic() - start, result


def render(rows: list[Row], found: list[Row], linker_s: float) -> str:
    header = ("model", "export s", "cold s", "cached s", "first cached s", "kernels", "compiled", "peak MB", "cached MB")
    lines = [
        (
            row.model,
            f"{row.export_s:.2f}",
            f"{row.compiled_s:.2f}",
            f"{statistics.median(row.cached_s):.2f}",
            f"{row.cached_first_s:.2f}",
            row.kernels,
            row.kernels_compiled,
            row.peak_memory_mb,
            row.cached_peak_memory_mb,
        )
        for row in rows
    ]
    said = [table(header, lines), f"the linker's C library, once a machine: {linker_s:.1f} s"]
    if found:
        names = ("candidate", "export s", "compile s", "kernels", "compiled", "peak MB")
        told = [
            (
                each.model,
                f"{each.export_s:.2f}",
                f"{each.compiled_s:.2f}",
                each.kernels,
                each.kernels_compiled,
                each.peak_memory_mb,
            )
            for each in found
        ]
        total_s = sum(each.compiled_s for each in found)
        kernels = sum(each.kernels_compiled for each in found)
        said += [table(names, told), f"{len(found)} candidates in {total_s:.1f} s: {kernels} kernels, none compiled twice"]
    return "\n".join(said)


if __name__ == "__main__":
    main()
