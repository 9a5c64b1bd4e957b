"""`pocketformer fuse`: what LP-Fusion does to a model, block by block; nothing is compiled."""

from argparse import Namespace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.models import check_batch
from app.terminal import Progress, table
from compiler.build import check_fusion, report_fusion
from data.home import subfolder

KILOBYTE = 1e3


def run(args: Namespace) -> dict[str, Any]:
    check_fusion(args.fusion)
    check_batch(args.batch)
    from engine.export import export_reference, reference_model

    progress = Progress()
    reference = reference_model(args.model, seq_len=args.seq_len)
    with TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        progress.log(f"exporting {args.model} ({reference.architecture})")
        program, _ = export_reference(reference, args.seq_len, Path(scratch))
        report = report_fusion(program, args.fusion, args.seq_len, log=progress.log)
    return {
        "model": args.model,
        "architecture": str(reference.architecture),
        "seq_len": args.seq_len,
        "fusion": args.fusion,
        **report,
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
