"""`pocketformer calibrate`: predictions for a device fitted to latencies measured on it."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from app.terminal import Progress, table
from compiler.build import check_fusion
from compiler.devices import check_device, check_measurable
from data.errors import UsageError
from engine.prediction.calibration import Calibration, Measured, fit, keep
from engine.prediction.measured import read_measured


def run(args: Namespace) -> dict[str, Any]:
    check_device(args.device)
    check_fusion(args.fusion)
    progress = Progress()
    if args.data:
        measured = read_measured(Path(args.data), args.device, args.fusion)
        origin = Path(args.data).name
    else:
        measured = _measure(args, progress)
        origin = "measured by pocketformer"
    fits = {}
    for target in dict.fromkeys(each.machine.target for each in measured):
        own = [each for each in measured if each.machine.target == target]
        progress.log(f"fitting '{target}' to {len(own)} measurements")
        fits[target] = fit(target, own)
    path = keep(Calibration(args.device, origin, fits))
    return {
        "device": args.device,
        "calibration": str(path),
        "clusters": {
            target: {
                "rows": found.rows,
                "families": found.families,
                "held_out_median_error": found.error,
                "interval_factor": found.interval_factor,
                "parameters": vars(found.parameters),
            }
            for target, found in fits.items()
        },
    }


def render(result: dict[str, Any]) -> str:
    header = ("cluster", "measurements", "families", "median error, held out", "90 % interval")
    rows = [
        (
            target,
            found["rows"],
            found["families"],
            "–" if found["held_out_median_error"] is None else f"{found['held_out_median_error']:.1%}",
            f"latency / {found['interval_factor']:.2f} to x {found['interval_factor']:.2f}",
        )
        for target, found in result["clusters"].items()
    ]
    return f"{table(header, rows)}\n`pocketformer predict --device {result['device']}` uses {result['calibration']} from now on"


def _measure(args: Namespace, progress: Progress) -> list[Measured]:
    if args.budget < 1:
        raise UsageError(f"--budget {args.budget}: give 1 or more")
    check_measurable(args.device)
    from engine.prediction.measuring import measure_architectures

    return measure_architectures(args.device, args.budget, args.threads, args.fusion, progress.log)
