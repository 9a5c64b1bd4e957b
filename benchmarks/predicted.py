"""Predicted latency beside published figures that CANAO gives for a Galaxy S20 (Tables 3 and 4), CPU and GPU.

    python -m benchmarks.predicted --json predicted.json
    python -m benchmarks.predicted --measured bertperf_measured.csv --device hikey-970

Three predictions stand beside each figure: without any calibration; calibrated on the models that only Table 3 has, so that Table 4 is held
out; and calibrated on all other models of both tables (leave one out), so that every figure is held out from its own prediction. Table 4's
figures without fusion are held out from all fits. CANAO does not publish the sizes of its own models, marked *: CANAOBERT is taken for
the deep and narrow model of its Table 2; "with NAS", as many layers as without, and FFNs of the size that gives the paper's FLOPs.

With `--measured`, latencies of a device (columns as of `pocketformer calibrate`) are predicted by a fit on half of their architecture
families, several times over: how large are the errors, and does the 90 % interval hold 90 %?
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.terminal import table
from compiler.build import FUSIONS
from data.errors import exit_status_of
from engine.prediction.calibration import Calibration, Fit, Measured, expected, fit
from engine.prediction.kernels import kernels_of
from engine.prediction.machine import ALL, BIG, GPU, LITTLE, machine_of
from engine.prediction.measured import read_measured
from engine.prediction.predict import by_calibration
from engine.prediction.published import Published, published

PHONE = "galaxy-s20"
ENGINE = "CANAO"
SPLITS = 5


@dataclass(frozen=True)
class Row:
    """One published figure and its predictions, in milliseconds.

    Attributes:
        fitted: by calibration on Table 3; `in_fit` says whether this figure is in Table 3's fit.
        held_out: by calibration on every other fused model; None for figures without fusion.
        low, high: the 90 % interval of `held_out`, else of `fitted`.
    """

    target: str
    fusion: str
    model: str
    architecture: str
    assumed: bool
    source: str
    published: float
    uncalibrated: float
    fitted: float
    in_fit: bool
    held_out: float | None
    low: float
    high: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, metavar="FILE", help="latencies of a device, to hold out")
    parser.add_argument("--device", default="hikey-970", help="whose they are")
    parser.add_argument("--fusion", default="none", choices=FUSIONS, help="what the engine fused that they were measured on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args()
    sys.exit(exit_status_of("predicted", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: no such device, or a file that has no measurements.
    """
    rows = [row for target in (ALL, GPU) for row in rows_of(target)]
    report: dict[str, Any] = {
        "rows": [asdict(row) for row in rows],
        "summary": [summary(rows, target) for target in (ALL, GPU)],
    }
    print(render(rows, report["summary"]))
    if options.measured:
        measured = read_measured(options.measured, options.device, options.fusion)
        report["measured"] = held_out(measured, options.device)
        print(f"\n{options.measured.name} on {options.device}, fusion {options.fusion}\n{render_held_out(report['measured'])}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def rows_of(target: str) -> list[Row]:
    """The paper's figures for the phone's cores or its GPU."""
    figures = [each for each in published() if (each.device, each.target, each.engine) == (PHONE, target, ENGINE)]
    fused = [each for each in figures if each.fusion == "lp"]
    table_3 = [each for each in fused if "Table 3" in each.source]
    on_table_3 = calibrated(target, table_3)
    rows = []
    for figure in figures:
        others = calibrated(target, [each for each in fused if each is not figure]) if figure in fused else None
        fitted, low, high = predicted(figure, on_table_3)
        held = predicted(figure, others) if others else None
        rows.append(
            Row(
                target,
                figure.fusion,
                figure.model,
                str(figure.architecture),
                figure.assumed,
                figure.source,
                figure.latency_ms,
                predicted(figure, None)[0],
                fitted,
                figure in table_3,
                held and held[0],
                held[1] if held else low,
                held[2] if held else high,
            )
        )
    return rows


def calibrated(target: str, figures: Sequence[Published]) -> Calibration:
    return Calibration(PHONE, ENGINE, {target: fit(target, [_measured(each) for each in figures])})


def predicted(figure: Published, calibration: Calibration | None) -> tuple[float, float, float]:
    """Milliseconds and their interval."""
    example = _measured(figure)
    found = by_calibration(calibration, PHONE, example.works, example.machine, figure.fusion, figure.precision)
    return found.latency_ms, found.low_ms, found.high_ms


def _measured(figure: Published) -> Measured:
    held_in = figure.precision if figure.fusion == "lp" else "fp32"  # kernels without fusion are known in fp32
    works = kernels_of(figure.architecture, figure.seq_len or 128, figure.fusion, held_in)
    machine = machine_of(figure.device, figure.threads, figure.precision, figure.target)
    return Measured(works, machine, figure.latency_ms, figure.model, figure.fusion, figure.precision)


def summary(rows: Sequence[Row], target: str) -> dict[str, Any]:
    """Median relative errors and rank correlations (Spearman) of the fused models; shares of figures inside intervals."""
    fused = [row for row in rows if row.target == target and row.fusion == "lp"]
    unfused = [row for row in rows if row.target == target and row.fusion == "none"]
    table_4 = [row for row in fused if not row.in_fit]
    held = [(row.held_out or math.nan, row.published) for row in fused]
    return {
        "target": target,
        "uncalibrated_error": _error([(row.uncalibrated, row.published) for row in fused]),
        "table_3_fitted_error": _error([(row.fitted, row.published) for row in fused if row.in_fit]),
        "table_4_held_out_error": _error([(row.fitted, row.published) for row in table_4]),
        "leave_one_out_error": _error(held),
        "unfused_held_out_error": _error([(row.fitted, row.published) for row in unfused]),
        "uncalibrated_rank": _rank([(row.uncalibrated, row.published) for row in fused]),
        "leave_one_out_rank": _rank(held),
        "fitted_rank": _rank([(row.fitted, row.published) for row in fused]),
        "inside": sum(row.low <= row.published <= row.high for row in fused),
        "figures": len(fused),
    }


def held_out(measured: Sequence[Measured], device: str) -> list[dict[str, Any]]:
    """For each cluster: without calibration, and by half of its families."""
    targets = [target for target in (BIG, LITTLE, ALL) if any(each.machine.target == target for each in measured)]
    reports = []
    for target in targets:
        own = [each for each in measured if each.machine.target == target]
        reports.append(_scored(f"{target}, not calibrated", own, None, device))
        reports.append(_halves(target, own, device))
    return reports


def _halves(target: str, measured: Sequence[Measured], device: str) -> dict[str, Any]:
    families = list(dict.fromkeys(each.family for each in measured))
    scores = []
    for seed in range(SPLITS):
        shuffled = np.random.default_rng(seed).permutation(len(families))
        half = {families[index] for index in shuffled[: len(families) // 2]}
        fitted: Fit = fit(target, [each for each in measured if each.family in half])
        calibration = Calibration(device, "", {target: fitted})
        scores.append(_scored("", [each for each in measured if each.family not in half], calibration, device))
    averaged = {name: float(np.mean([score[name] for score in scores])) for name in scores[0] if name not in ("what", "rows")}
    what = f"{target}, by half of {len(families)} families, {SPLITS} times"
    return {"what": what, "rows": round(float(np.mean([score["rows"] for score in scores]))), **averaged}


def _scored(what: str, measured: Sequence[Measured], calibration: Calibration | None, device: str) -> dict[str, Any]:
    found = [by_calibration(calibration, device, each.works, each.machine, each.fusion, each.precision) for each in measured]
    pairs = [(one.latency_ms, each.latency_ms) for one, each in zip(found, measured, strict=True)]
    errors = np.array([abs(one / other - 1) for one, other in pairs])
    inside = [one.low_ms <= each.latency_ms <= one.high_ms for one, each in zip(found, measured, strict=True)]
    return {
        "what": what,
        "rows": len(measured),
        "median_error": float(np.median(errors)),
        "p90_error": float(np.quantile(errors, 0.9)),
        "coverage": float(np.mean(inside)),
        "interval_factor": math.sqrt(found[0].high_ms / found[0].low_ms),
        "rank": _rank(pairs),
    }


def _error(pairs: Sequence[tuple[float, float]]) -> float:
    return float(np.median([abs(one / other - 1) for one, other in pairs]))


def _rank(pairs: Sequence[tuple[float, float]]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr([one for one, _ in pairs], [other for _, other in pairs]).statistic)


def render(rows: Sequence[Row], summaries: Sequence[dict[str, Any]]) -> str:
    header = (
        "target",
        "fusion",
        "model",
        "published",
        "uncalibrated",
        "",
        "by Table 3",
        "",
        "",
        "left out",
        "",
        "90 % interval",
    )
    cells = [
        (
            row.target,
            row.fusion,
            row.model + ("*" if row.assumed else ""),
            f"{row.published:.0f}",
            f"{row.uncalibrated:.0f}",
            _off(row.uncalibrated, row),
            f"{row.fitted:.0f}",
            _off(row.fitted, row),
            "fitted" if row.in_fit else "held out",
            "–" if row.held_out is None else f"{row.held_out:.0f}",
            "" if row.held_out is None else _off(row.held_out, row),
            f"{row.low:.0f} to {row.high:.0f}",
        )
        for row in rows
    ]
    said = [
        f"{each['target']}: median error uncalibrated {each['uncalibrated_error']:.0%}, Table 3 (fitted) {each['table_3_fitted_error']:.0%}, "
        f"Table 4 (held out) {each['table_4_held_out_error']:.0%}, each left out {each['leave_one_out_error']:.0%}, without fusion (held out) "
        f"{each['unfused_held_out_error']:.0%}; rank correlation {each['uncalibrated_rank']:.2f}, fitted {each['fitted_rank']:.2f}, left out "
        f"{each['leave_one_out_rank']:.2f}; {each['inside']} of {each['figures']} in the interval of a fit without them"
        for each in summaries
    ]
    spreads = ", ".join(f"{target} {math.exp(expected(target)[1]):.1f}" for target in (ALL, GPU))
    note = f"milliseconds; * sizes assumed from the paper's FLOPs; uncalibrated intervals are a factor of {spreads} either way"
    return "\n".join([table(header, cells), "", *said, note])


def _off(predicted_ms: float, row: Row) -> str:
    return f"{predicted_ms / row.published - 1:+.0%}"


def render_held_out(reports: Sequence[dict[str, Any]]) -> str:
    header = ("predicted", "rows", "median error", "p90 error", "in the interval", "interval: times", "rank")
    return table(
        header,
        [
            (
                each["what"],
                each["rows"],
                f"{each['median_error']:.1%}",
                f"{each['p90_error']:.1%}",
                f"{each['coverage']:.1%}",
                f"{each['interval_factor']:.2f}",
                f"{each['rank']:.3f}",
            )
            for each in reports
        ],
    )


if __name__ == "__main__":
    main()
