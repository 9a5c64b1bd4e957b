"""Our latency beside every other runtime's: all presets and the eight architectures of CANAO's Table 2, by one protocol.

    python -m benchmarks.latency --json latency.json               everything, on every runtime that is installed
    python -m benchmarks.latency --resume latency.json             go on where that was interrupted
    python -m benchmarks.latency --models minilm-l6 --threads 2 --against onnxruntime
    python -m benchmarks.latency --precision int8 --models bert-base          beside the runtimes' own 8-bit integers

For each model and number of threads, ours and the peers take turns for a few rounds; each has its own process, at least 100 runs and two
seconds a round. Beside each time stands its share of the machine's fp32 multiply-add peak, measured before and after. The end says how
many times as long the best peer and ONNX Runtime take, as geometric means. In another precision, our own fp32 takes turns with them.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from app.terminal import Progress, table
from benchmarks import machine
from compiler.build import BuildRequest, build
from compiler.devices import HOST
from compiler.measure import measure
from compiler.peak import peak_gflops
from compiler.peers import PEERS, check_peers, installed_peers, measure_peer, prepare_peer
from compiler.rounds import ROUNDS, Timer, in_turns, middle
from compiler.targets import precisions_of
from data.errors import MeasureError, PocketformerError, UsageError, exit_status_of
from data.home import subfolder
from engine.architecture import DEFAULT_SEQ_LEN, PRESETS, Architecture, architecture_of

# CANAO (Kong et al., 2022), Table 2: transformer blocks, hidden size, attention heads, 22 to 6 GFLOPs; the FFN is four times as wide.
TABLE_2 = ((12, 768, 12), (7, 1024, 16), (12, 512, 8), (6, 768, 12), (10, 512, 8), (5, 768, 12), (24, 256, 4), (6, 512, 8))
OURS = "pocketformer"
FP32 = "pocketformer in fp32"  # beside another precision
REFERENCES = ("onnxruntime", "onnxruntime-int8")  # peers whose means are reported apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=_names, metavar="NAMES", help="presets or architectures; without it, all")
    parser.add_argument("--threads", type=_names, default=["1", "2"], metavar="COUNTS", help="1,2")
    parser.add_argument("--against", type=_names, metavar="NAMES", help=f"of {', '.join(PEERS)}; without it, those installed")
    parser.add_argument("--precision", default="fp32", choices=precisions_of(HOST))
    parser.add_argument("--seq-len", type=int, default=DEFAULT_SEQ_LEN, metavar="TOKENS")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where figures are kept, after each model")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="the same, keeping what an earlier run has put there")
    options = parser.parse_args()
    sys.exit(exit_status_of("latency", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: an unknown model or runtime, or a file to go on with that is of other settings.
        MeasureError: at the end, models that could not be timed; the others have been.
    """
    peers = tuple(installed_peers(options.precision) if options.against is None else options.against)
    check_peers(peers)
    counts = _counts(options.threads)
    models = {name: architecture_of(name) for name in options.models} if options.models else all_models()
    report = _report(options, peers)
    failed: dict[str, str] = {}
    progress = Progress()
    for number, (model, architecture) in enumerate(models.items()):
        left = [count for count in counts if not _done(report["rows"], architecture, count, peers)]
        if left:
            progress.log(f"{model} ({number + 1} of {len(models)}), threads {', '.join(map(str, left))}")
            try:
                for row in rows_of(model, architecture, left, peers, options, progress):
                    report["rows"] = [each for each in report["rows"] if not _same(each, row)] + [row]
                    report["geometric_means"] = geometric_means(report["rows"])
                    machine.keep(report, options.json or options.resume)
            except PocketformerError as error:
                failed[model] = str(error)
                progress.log(f"{model}: {error}")
    progress.close()
    print(render(report))
    if failed:
        raise MeasureError(f"not timed: {'; '.join(f'{model} ({message})' for model, message in failed.items())}")


def all_models() -> dict[str, Architecture]:
    """Presets and Table 2's, each architecture once, under the first of its names."""
    written = {f"L{layers}-H{hidden}-A{heads}-F{4 * hidden}": None for layers, hidden, heads in TABLE_2}
    named = {**PRESETS, **{name: Architecture.parse(name) for name in written}}
    models: dict[str, Architecture] = {}
    for name, architecture in named.items():
        if architecture not in models.values():
            models[name] = architecture
    return models


def rows_of(
    model: str,
    architecture: Architecture,
    counts: Sequence[int],
    peers: Sequence[str],
    options: argparse.Namespace,
    progress: Progress,
) -> Iterator[dict[str, Any]]:
    """A row for each number of threads.

    Raises:
        PocketformerError: ours does not compile or cannot be timed.
    """
    from engine.export import export_for_peers, reference_model

    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as folder:
        scratch = Path(folder)
        exported = export_for_peers(reference_model(model), options.seq_len, peers, scratch)
        assert exported.program is not None
        progress.log("compiling")
        built = {OURS: build(BuildRequest(exported.program, exported.samples), scratch / "fp32").folder}
        if options.precision != "fp32":
            built[FP32] = built[OURS]
            request = BuildRequest(exported.program, exported.samples, precision=options.precision)
            built[OURS] = build(request, scratch / options.precision).folder
        files: dict[str, Path] = {}
        failures: dict[str, str] = {}
        for name in peers:
            if PEERS[name].file:
                progress.log(f"converting for {name}")
            try:
                files[name] = prepare_peer(name, exported, scratch)
            except MeasureError as error:
                failures[name] = str(error)
        for threads in counts:
            timers: dict[str, Timer] = {name: partial(measure, folder, threads=threads) for name, folder in built.items()}
            timers |= {
                name: partial(measure_peer, name, file, exported.samples, threads=threads) for name, file in files.items()
            }
            yield _row(model, architecture, threads, options.seq_len, timers, options.rounds, dict(failures), progress)


def _row(
    model: str,
    architecture: Architecture,
    threads: int,
    seq_len: int,
    timers: dict[str, Timer],
    rounds: int,
    failures: dict[str, str],
    progress: Progress,
) -> dict[str, Any]:
    def tell(number: int, name: str) -> None:
        progress.bar(f"{model}, {threads} threads, round {number} of {rounds}: {name}", (number - 1) / rounds)

    before = peak_gflops(threads)
    figures = {name: middle(latencies) for name, latencies in in_turns(timers, rounds, tell, failures).items()}
    peak = max(before, peak_gflops(threads))
    if OURS in failures:
        raise MeasureError(failures[OURS])
    gflop = architecture.flops(seq_len) / 1e9
    for figure in figures.values():
        figure["peak_fraction"] = gflop / figure["median"] * 1e3 / peak
    ours = figures.pop(OURS)
    for figure in figures.values():
        figure["ratio"] = figure["median"] / ours["median"]
    fp32 = figures.pop(FP32, None)
    return {
        "model": model,
        "architecture": str(architecture),
        "threads": threads,
        "gflop": gflop,
        "peak_gflops": peak,
        "latency_ms": ours,
        **({"fp32": fp32} if fp32 else {}),
        "peers": figures,
        "failures": failures,
    }


def geometric_means(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each number of threads, times our latency: the best peer's of each model, and ONNX Runtime's."""
    means: dict[str, dict[str, float]] = {}
    for threads in sorted({row["threads"] for row in rows}):
        peers = [row["peers"] for row in rows if row["threads"] == threads]
        ratios = {
            "best_peer": [min(peer["ratio"] for peer in each.values()) for each in peers if each],
            **{name: [each[name]["ratio"] for each in peers if name in each] for name in REFERENCES},
        }
        means[str(threads)] = {name: prod(found) ** (1 / len(found)) for name, found in ratios.items() if found}
    return means


def render(report: dict[str, Any]) -> str:
    """Milliseconds, and in brackets the share of the measured peak."""
    names = list(dict.fromkeys(name for row in report["rows"] for name in row["peers"]))
    beside = (FP32,) if any("fp32" in row for row in report["rows"]) else ()
    header = ("model", "threads", OURS, *beside, *names, "best peer / ours")
    lines = []
    for row in report["rows"]:
        ratios = [peer["ratio"] for peer in row["peers"].values()]
        cells = [
            _cell(row["latency_ms"]),
            *(_cell(row.get("fp32")) for _ in beside),
            *(_cell(row["peers"].get(name)) for name in names),
        ]
        lines.append((row["model"], row["threads"], *cells, f"{min(ratios):.2f}" if ratios else None))
    means = [
        f"geometric mean, {threads} threads: " + ", ".join(f"{name} / ours {ratio:.2f}" for name, ratio in found.items())
        for threads, found in report["geometric_means"].items()
    ]
    failures = [f"{row['model']}: {message}" for row in report["rows"] for message in row["failures"].values()]
    return "\n".join(["ms, and share of the machine's peak", table(header, lines), *means, *dict.fromkeys(failures)])


def _cell(figure: dict[str, float] | None) -> str | None:
    return f"{figure['median']:.2f} ({figure['peak_fraction']:.0%})" if figure else None


def _report(options: argparse.Namespace, peers: Sequence[str]) -> dict[str, Any]:
    packages = dict.fromkeys(package for name in peers for _, package in PEERS[name].packages)
    fresh = {
        **machine.facts(("apache-tvm", *packages)),
        "precision": options.precision,
        "seq_len": options.seq_len,
        "rounds": options.rounds,
        "rows": [],
        "geometric_means": {},
    }
    if not options.resume or not options.resume.exists():
        return fresh
    try:
        kept: dict[str, Any] = json.loads(options.resume.read_text())
        rows, settings = kept["rows"], (kept["processor"], kept["seq_len"], kept["precision"])
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{options.resume} is no report of this benchmark: {error}") from error
    if settings != (fresh["processor"], fresh["seq_len"], fresh["precision"]):
        raise UsageError(
            f"{options.resume} is of {settings[0]}, sequence length {settings[1]}, {settings[2]}; start a file of its own"
        )
    return {**fresh, "rows": rows, "geometric_means": geometric_means(rows)}


def _done(rows: Sequence[dict[str, Any]], architecture: Architecture, threads: int, peers: Sequence[str]) -> bool:
    """Whether a row has each of the peers, or says why not."""
    asked = {"architecture": str(architecture), "threads": threads}
    return any(_same(row, asked) and {*row["peers"], *row["failures"]} >= set(peers) for row in rows)


def _same(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return (row["architecture"], row["threads"]) == (other["architecture"], other["threads"])


def _counts(words: Sequence[str]) -> list[int]:
    if not words or not all(word.isdigit() and int(word) for word in words):
        raise UsageError(f"--threads {','.join(words)}: give counts like 1,2")
    return [int(word) for word in words]


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()
