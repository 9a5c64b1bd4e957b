"""`pocketformer compile`: any model into a bundle, without a search."""

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.models import check_batch
from app.terminal import Progress, table
from compiler.bundle import write_bundle
from compiler.devices import check_device
from data.home import subfolder


def run(args: Namespace) -> dict[str, Any]:
    check_device(args.device)
    check_batch(args.batch)
    from compiler.build import BuildRequest, build
    from compiler.measure import measure
    from engine.export import export_reference, reference_model

    progress = Progress()
    reference = reference_model(args.model, seq_len=args.seq_len)
    with TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        progress.log(f"exporting {args.model} ({reference.architecture})")
        exported = export_reference(reference, args.seq_len, Path(scratch) / "export")
        progress.log("compiling")
        request = BuildRequest(*exported, args.device, args.precision, seq_len=args.seq_len)
        built = build(request, Path(scratch) / "built", log=progress.log)
        progress.log("timing it")
        latency = measure(built.folder, args.device, args.threads)
        description = {
            "architecture": str(reference.architecture),
            "model": args.model,
            "task": None,
            "device": args.device,
            "precision": args.precision,
            "seq_len": args.seq_len,
            "outputs": json.loads((built.folder / "plan.json").read_text())["outputs"],
            "latency": asdict(latency),
            "fusion": {"kernels": built.kernels, "blocks": built.blocks},
            "max_abs_error": built.max_abs_error,
        }
        path = write_bundle(built.folder, Path(args.output), description, reference.tokenizer.to_str())
    return {
        "bundle": str(path),
        "architecture": str(reference.architecture),
        "kernels": built.kernels,
        "kernels_compiled": built.kernels_compiled,
        "compile_s": built.compile_s,
        "max_abs_error": built.max_abs_error,
        "latency_ms": latency.median_ms,
        "latency_source": latency.source,
    }


def render(result: dict[str, Any]) -> str:
    rows = [
        ("architecture", result["architecture"]),
        ("kernels", f"{result['kernels']}, {result['kernels_compiled']} of them compiled now"),
        ("compiled in", f"{result['compile_s']:.1f} s"),
        ("largest difference from the original", f"{result['max_abs_error']:.1e}"),
        ("latency", f"{result['latency_ms']:.2f} ms ({result['latency_source']})"),
    ]
    return table(("", result["bundle"]), rows)
