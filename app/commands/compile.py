"""`pocketformer compile`: any model into a bundle, without a search."""

import json
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.models import check_batch
from app.terminal import Progress, table
from compiler.bundle import write_bundle
from compiler.devices import HOST, check_device, find_device, is_measurable, split_serial
from compiler.lengths import USUAL_SEQ_LENS
from compiler.targets import check_precision
from data.errors import UsageError
from data.home import subfolder


def run(args: Namespace) -> dict[str, Any]:
    check_device(args.device)
    check_precision(args.device, args.precision)
    from compiler.build import BuildRequest, build, check_fusion
    from compiler.measure import measure_lengths
    from compiler.workers import warm_up

    check_fusion(args.fusion)
    check_batch(args.batch)
    check_tune(args.device, args.tune)
    warm_up()  # beside the loading and exporting here
    from engine.export import export_reference, reference_model

    progress = Progress()
    seq_lens = args.seq_len or USUAL_SEQ_LENS
    reference = reference_model(args.model, seq_len=seq_lens[-1])
    with TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        progress.log(f"exporting {args.model} ({reference.architecture})")
        exported = export_reference(reference, seq_lens[-1], Path(scratch) / "export", seq_lens[:-1])
        progress.log("compiling")
        request = BuildRequest(
            *exported,
            args.device,
            args.precision,
            seq_lens=args.seq_len,
            fusion=args.fusion,
            seq_len=seq_lens[-1],
            gpu=args.gpu,
            tune=args.tune,
        )
        built = build(request, Path(scratch) / "built", log=progress.log)
        by_length = []
        if is_measurable(args.device):
            progress.log("timing it")
            by_length = measure_lengths(built.folder, built.seq_lens, args.device, args.threads, log=progress.log)
        timed = {each["seq_len"]: each for each in by_length}.get(built.seq_lens[-1])
        latency = timed and {name: value for name, value in timed.items() if name != "seq_len"}
        description = {
            "architecture": str(reference.architecture),
            "model": args.model,
            "task": None,
            "device": split_serial(args.device)[0],
            "system": None if args.device == HOST else find_device(args.device).system,
            "precision": args.precision,
            "gpu": args.gpu,
            "seq_len": built.seq_lens[-1],
            "seq_lens": built.seq_lens,
            "outputs": json.loads((built.folder / "plan.json").read_text())["outputs"],
            "latency": latency,
            "latency_by_length": by_length,
            "fusion": {"mode": args.fusion, "kernels": built.kernels, "blocks": built.blocks},
            "max_abs_error": built.max_abs_error,
        }
        path = write_bundle(built.folder, Path(args.output), description, reference.tokenizer.to_str())
    return {
        "bundle": str(path),
        "architecture": str(reference.architecture),
        "fusion": args.fusion,
        "kernels": built.kernels,
        "kernels_compiled": built.kernels_compiled,
        "compile_s": built.compile_s,
        "max_abs_error": built.max_abs_error,
        "seq_len": built.seq_lens[-1],
        "seq_lens": built.seq_lens,
        "latency_ms": latency and latency["median_ms"],
        "latency_by_length": by_length,
        "latency_source": latency and latency["source"],
    }


def check_tune(device: str, tune: bool) -> None:
    """
    Raises:
        UsageError: tiles are always tried on this machine, where it is the device.
        MeasureError: no phone that is the device is connected.
    """
    if not tune:
        return
    if device == HOST:
        raise UsageError("--tune is for a connected phone: on host, kernels' tiles are always tried")
    from compiler.phone.choose import find_phone

    find_phone(device)


def render(result: dict[str, Any]) -> str:
    rows = [
        ("architecture", result["architecture"]),
        ("kernels", f"{result['kernels']}, {result['kernels_compiled']} of them compiled now"),
        ("compiled in", f"{result['compile_s']:.1f} s"),
        ("largest difference from the original", _difference(result["max_abs_error"])),
        *(
            (f"latency, {each['seq_len']} tokens", f"{each['median_ms']:.2f} ms ({each['source']})")
            for each in result["latency_by_length"]
        ),
        *([] if result["latency_ms"] else [("latency", "not timed; the bundle's README says how to")]),
    ]
    return table(("", result["bundle"]), rows)


def _difference(error: float | None) -> str:
    return "not checked: nothing here runs this device's programs" if error is None else f"{error:.1e}"
