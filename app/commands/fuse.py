"""`pocketformer fuse`: what LP-Fusion does to a model, block by block; nothing is compiled unless it is to be timed."""

from argparse import Namespace
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from app.models import check_batch
from app.terminal import Progress, table
from compiler.build import FUSIONS, BuildRequest, build, check_fusion, report_fusion
from compiler.devices import HOST
from compiler.measure import measure
from compiler.rounds import ROUNDS, in_turns, middle
from data.home import subfolder

if TYPE_CHECKING:
    from compiler.rounds import Timer

KILOBYTE = 1e3


def run(args: Namespace) -> dict[str, Any]:
    check_fusion(args.fusion)
    check_batch(args.batch)
    progress = Progress()
    with TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        path = Path(args.model).expanduser()
        if path.suffix == ".onnx" and not args.measure:  # it is its own program, whatever its tokenizer
            program, samples, architecture = path, path, path.stem
        else:
            from engine.export import export_reference, reference_model

            reference = reference_model(args.model, seq_len=args.seq_len)
            architecture = str(reference.architecture)
            progress.log(f"exporting {args.model} ({architecture})")
            program, samples = export_reference(reference, args.seq_len, Path(scratch) / "export")
        report = report_fusion(program, args.fusion, args.seq_len, log=progress.log)
        timed = _timed(args, program, samples, Path(scratch), progress) if args.measure else {}
    return {
        "model": args.model,
        "architecture": architecture,
        "seq_len": args.seq_len,
        "fusion": args.fusion,
        **report,
        **timed,
    }


def _timed(args: Namespace, program: Path, samples: Path, scratch: Path, progress: Progress) -> dict[str, Any]:
    """Latency with LP-Fusion and without, in turns on this machine, so that a drift of its speed meets both; and each kernel's time."""
    timers: dict[str, Timer] = {}
    for fusion in FUSIONS:
        progress.log(f"compiling with fusion {fusion}")
        request = BuildRequest(program, samples, HOST, fusion=fusion, seq_len=args.seq_len)
        timers[fusion] = partial(measure, build(request, scratch / fusion).folder, HOST)
    rounds = in_turns(timers, ROUNDS, lambda number, name: progress.log(f"round {number} of {ROUNDS}: timing fusion {name}"))
    progress.log("timing each kernel")
    calls_us = measure(scratch / "lp", HOST, profile=True).calls_us
    return {
        "measured": {
            **{name: middle(latencies) for name, latencies in rounds.items()},
            "device": HOST,
            "threads": rounds["lp"][0].threads,
            "kernels_us": list(calls_us or ()),
        }
    }


def render(result: dict[str, Any]) -> str:
    layers = result["layers_before"]
    counts = (
        f"{layers['total']} ({layers['compute_intensive']} compute-intensive, {layers['memory_intensive']} memory-intensive)"
    )
    totals = [
        ("layers of computation before", counts),
        ("kernels after", f"{result['kernels_after']}; {result['layers_cancelled']} layers cancelled altogether"),
        ("intermediate results", f"{result['ir_mb_before']:.1f} MB before, {result['ir_mb_after']:.1f} MB after"),
        ("FLOPs", f"{result['flops_before'] / 1e9:.2f} G before, {result['flops_after'] / 1e9:.2f} G after"),
    ]
    if timed := result.get("measured"):
        gain = timed["none"]["median"] / timed["lp"]["median"]
        line = (
            f"{timed['none']['median']:.2f} ms without fusion, {timed['lp']['median']:.2f} ms with it: {gain:.2f} times as fast"
        )
        totals.append(("measured here", f"{line} ({timed['threads']} threads)"))
    title = f"{result['architecture']}, sequence length {result['seq_len']}, fusion {result['fusion']}"
    header = ("block", "members", "kB before", "kB after", "MFLOP before", "MFLOP after", "why")
    return f"{table(header, [_row(block) for block in result['blocks']])}\n\n{table(('', title), totals)}"


def _row(block: dict[str, Any]) -> tuple[object, ...]:
    why = "; ".join(filter(None, (block["law"], block["rule"])))
    sizes = (round(block[name] / KILOBYTE, 1) for name in ("bytes_before", "bytes_after"))
    work = (round(block[name] / 1e6, 2) for name in ("flops_before", "flops_after"))
    return block["name"], _members(block["members"]), *sizes, *work, why


def _members(operators: list[str]) -> str:
    """Operators in order, runs of one counted: `matmul, add x2`."""
    runs = ((name.removeprefix("nn."), len(list(run))) for name, run in groupby(operators))
    return ", ".join(name if count == 1 else f"{name} x{count}" for name, count in runs)
