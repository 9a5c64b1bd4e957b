"""How well latency on a device is predicted: by the calibration, against measurements that it has not seen, and against published figures."""

import csv
import io
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.devices.figures import LOOKS, Point
from data.errors import ModelError, UsageError
from engine.architecture import architecture_of
from engine.prediction.calibration import calibration_of
from engine.prediction.machine import BIG, TARGETS
from engine.prediction.predict import predict
from engine.prediction.published import published

if TYPE_CHECKING:
    from data.store import Store

MOST_POINTS = 2000
MOST_MEASUREMENTS = 400  # of searches, the newest


def points(store: "Store", device: str) -> list[Point]:
    """Everything that is known of a device beside its prediction; bounded.

    Raises:
        StoreError: the store cannot be read.
        UsageError: a damaged calibration.
    """
    return [*_held_out(device), *_measured(store, device), *_published(device)][:MOST_POINTS]


def factor(device: str) -> float | None:
    """Of the 90 % interval, the widest of the device's fits; None without calibration."""
    calibration = calibration_of(device)
    return max((fit.interval_factor for fit in calibration.fits.values()), default=None) if calibration else None


def errors(found: Sequence[Point], interval: float | None) -> list[dict[str, Any]]:
    """One row a kind of points."""
    rows = []
    for kind, (_, _, label) in LOOKS.items():
        own = [point for point in found if point.kind == kind]
        if not own:
            continue
        within = None if interval is None else sum(1 / interval <= 1 + each.error <= interval for each in own) / len(own)
        rows.append(
            {
                "Compared with": label,
                "Points": len(own),
                "Median error": statistics.median(abs(each.error) for each in own),
                "In the interval": within if kind != "published" else None,
            }
        )
    return rows


def csv_of(found: Sequence[Point]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "kind", "measured_ms", "predicted_ms", "relative_error", "note"])
    writer.writerows([each.name, each.kind, each.measured_ms, each.predicted_ms, each.error, each.note] for each in found)
    return text.getvalue()


def _held_out(device: str) -> list[Point]:
    calibration = calibration_of(device)
    if calibration is None:
        return []
    return [
        Point(name, measured_ms, predicted_ms, "held out", f"{calibration.origin}, cluster {target}")
        for target, fit in calibration.fits.items()
        for name, measured_ms, predicted_ms in zip(fit.names, fit.measured_ms, fit.held_out_ms, strict=True)
    ]


def _measured(store: "Store", device: str) -> list[Point]:
    """Of searches: as measured, and as it is predicted now."""
    found = []
    for each in store.measurements(device=device, limit=MOST_MEASUREMENTS):
        if each.source != "measured":
            continue
        try:
            model = architecture_of(each.architecture)
            guess = predict(model, device, each.threads, precision=each.precision, seq_len=each.seq_len)
        except (ModelError, UsageError):
            continue  # a kind of model that predictions do not know, or a machine that has other cores now
        note = f"{each.precision}, {each.threads} threads, run {each.run_id}"
        found.append(Point(f"{each.architecture}, {each.seq_len} tokens", each.median_ms, guess.latency_ms, "search", note))
    return found


def _published(device: str) -> list[Point]:
    found = []
    for each in published():
        if each.device != device or each.target not in TARGETS:
            continue
        try:
            guess = predict(
                each.architecture, device, each.threads if each.target != "gpu" else None, precision=each.precision,
                fusion=each.fusion or "lp", seq_len=each.seq_len or 128, target=each.target if each.target != BIG else None,
            )  # fmt: skip
        except UsageError:
            continue
        note = f"{each.engine}, {each.precision}, {each.target}; {each.source}"
        found.append(Point(each.model, each.latency_ms, guess.latency_ms, "published", note))
    return found
