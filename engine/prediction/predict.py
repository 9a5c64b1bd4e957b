"""A model's latency on a device, with an interval and what it rests on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from compiler.work import Work
from engine.architecture import DEFAULT_SEQ_LEN, Architecture
from engine.prediction.calibration import Calibration, calibration_of, expected
from engine.prediction.kernels import kernels_of
from engine.prediction.machine import Machine, machine_of
from engine.prediction.roofline import Parameters, cases_of, latencies_ms

SOURCE = "predicted"


@dataclass(frozen=True)
class Prediction:
    """Milliseconds of one inference, batch 1; `low_ms` to `high_ms` is meant to hold 90 % of what would be measured.

    Attributes:
        target: the cores it is for: big, little, all or gpu.
        basis: one line: what it rests on.
        kernels: calls in one inference.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    target: str
    threads: int
    kernels: int
    basis: str
    source: str = SOURCE


def predict(
    model: Architecture | Sequence[Work],
    device: str,
    threads: int | None = None,
    *,
    precision: str = "fp32",
    fusion: str = "lp",
    seq_len: int = DEFAULT_SEQ_LEN,
    target: str | None = None,
) -> Prediction:
    """Predict for one architecture, or for the kernels of any program, by the device's calibration if it has one.

    Args:
        seq_len: tokens; kernels have theirs already.
        threads, target: as `engine.prediction.machine.machine_of`.

    Raises:
        UsageError: as `machine_of` and `kernels_of`; a damaged calibration.
    """
    machine = machine_of(device, threads, precision, target)
    works = kernels_of(model, seq_len, fusion, precision) if isinstance(model, Architecture) else model
    return by_calibration(calibration_of(device), device, works, machine, fusion, precision)


def by_calibration(
    calibration: Calibration | None, device: str, works: Sequence[Work], machine: Machine, fusion: str, precision: str
) -> Prediction:
    """As `predict`, by a calibration of the caller's; None: by none."""
    parameters, half_width, basis = expectation(calibration, device, machine, fusion, precision)
    latency_ms = float(latencies_ms(parameters, cases_of([(works, machine)]))[0])
    factor = math.exp(half_width)
    return Prediction(latency_ms, latency_ms / factor, latency_ms * factor, machine.target, machine.threads, len(works), basis)


def expectation(
    calibration: Calibration | None, device: str, machine: Machine, fusion: str, precision: str
) -> tuple[Parameters, float, str]:
    """Parameters, half-width of the interval in logarithms, and one line on what they rest on."""
    parameters, spread = expected(machine.target)
    if calibration is None:
        return (
            parameters,
            spread,
            f"not calibrated: what other engines reach on other devices; `pocketformer calibrate --device {device}`",
        )
    fit = calibration.fits.get(machine.target)
    if fit is None:
        # One cluster's misses do not tell another's: carrying them over was tried, and doubled errors (`benchmarks.predicted`'s data).
        measured = ", ".join(f"'{target}'" for target in calibration.fits)
        return (
            parameters,
            spread,
            f"calibrated on {measured} only, so for '{machine.target}' what other engines reach on other devices",
        )
    measured = f"calibrated on {fit.rows} measurements of {fit.families} families ({calibration.origin})"
    if fusion not in fit.fusions or precision not in fit.precisions:
        widened = math.hypot(fit.half_width, spread)
        return fit.parameters, widened, f"{measured}, none of them with fusion {fusion} in {precision}"
    if fit.error is None:
        return fit.parameters, fit.half_width, f"{measured}, too few to hold any out"
    return fit.parameters, fit.half_width, f"{measured}, median error {fit.error:.1%} on those held out"
