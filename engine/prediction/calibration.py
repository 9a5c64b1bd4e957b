"""Fitting a roofline's parameters to measurements, and keeping them: one file a device under `POCKETFORMER_HOME`.

Few parameters, and expectations for each (`priors.toml`), so that five measurements move what they can tell and leave the rest; robust
least squares on logarithms, so that a short latency counts as much as a long one and an outlier does not. How far off predictions
are is taken from measurements that the fit has not seen: folds of whole architecture families, and a conformal quantile of the
errors (Vovk et al. 2005; Barber et al. 2021, "CV+").
"""

import json
import math
import tomllib
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from compiler.work import Work
from data.errors import UsageError
from data.home import home
from engine.prediction.machine import TARGETS, Machine
from engine.prediction.roofline import Cases, Parameters, cases_of, latencies_ms

PRIORS = Path(__file__).with_name("priors.toml")
COVERAGE = 0.9
EXPECTED_ERROR = 0.1  # of a logarithm: measurements count this much against `doubt`
MOST_FOLDS = 10
LEAST_FAMILIES = 10  # fewer have no 90 % quantile that is one of them: Student's t then
LEAST_HALF_WIDTH = math.log(1.05)
FARTHEST = 4.0  # standard deviations of its expectation that a parameter may move
MOST_SHARE = 2.0  # of a peak: a core may be better than its entry in the catalogue


@dataclass(frozen=True)
class Measured:
    """One measurement to fit to. `family`: architectures alike; those of one family are held out together. `name` is for people."""

    works: Sequence[Work]
    machine: Machine
    latency_ms: float
    family: Hashable
    fusion: str = "lp"
    precision: str = "fp32"
    name: str = ""


@dataclass(frozen=True)
class Fit:
    """What a target's measurements taught.

    Attributes:
        half_width: of the 90 % interval, in logarithms: latency x exp(+-half_width).
        error: median relative error of measurements held out from the fit; None where there was one family.
        fusions, precisions: those that were measured; for others the interval does not hold.
        names, measured_ms, held_out_ms: of each measurement, the last as predicted by a fit without its family; none where there was
            one family, or in files from before they were kept.
    """

    parameters: Parameters
    half_width: float
    error: float | None
    rows: int
    families: int
    fusions: tuple[str, ...]
    precisions: tuple[str, ...]
    names: tuple[str, ...] = ()
    measured_ms: tuple[float, ...] = ()
    held_out_ms: tuple[float, ...] = ()

    @property
    def interval_factor(self) -> float:
        """The 90 % interval is latency / factor to latency x factor."""
        return math.exp(self.half_width)


@cache
def expected(target: str) -> tuple[Parameters, float]:
    """Parameters before any measurement, and the logarithm of their spread."""
    table = _priors()[target]
    return Parameters(**{name: table[name] for name in Parameters.names()}), math.log(table["spread"])


@cache
def _priors() -> dict[str, dict[str, float]]:
    return tomllib.loads(PRIORS.read_text())


def fit_parameters(target: str, cases: Cases, latencies: np.ndarray) -> Parameters:
    """The likeliest parameters; milliseconds (cases,). Cost: a second for two thousand cases."""
    from scipy.optimize import least_squares

    start = expected(target)[0].logarithms()
    doubt = np.array([_priors()["doubt"][name] for name in Parameters.names()])
    wanted = np.log(latencies)

    def misfit(logarithms: np.ndarray) -> np.ndarray:
        errors = (np.log(latencies_ms(Parameters(*np.exp(logarithms)), cases)) - wanted) / EXPECTED_ERROR
        robust = np.sign(errors) * np.sqrt(2 * (np.sqrt(1 + errors**2) - 1))  # squared: soft L1
        return np.concatenate([robust, (logarithms - start) / doubt])

    highest = np.minimum(start + FARTHEST * doubt, [math.log(_most(name)) for name in Parameters.names()])
    found = least_squares(misfit, start, bounds=(start - FARTHEST * doubt, highest), max_nfev=60)
    return Parameters(*(float(value) for value in np.exp(found.x)))


def fit(target: str, measured: Sequence[Measured]) -> Fit:
    """Fit all measurements of a target; the interval is from fits that leave families out."""
    cases, latencies = _arrays(measured)
    families = list(dict.fromkeys(each.family for each in measured))
    errors = _held_out_errors(target, measured, families)
    return Fit(
        fit_parameters(target, cases, latencies),
        half_width(errors, len(families), expected(target)[1]),
        float(np.median(np.abs(np.expm1(errors)))) if len(errors) else None,
        len(measured),
        len(families),
        tuple(sorted({each.fusion for each in measured})),
        tuple(sorted({each.precision for each in measured})),
        tuple(each.name for each in measured) if len(errors) else (),
        tuple(float(each) for each in latencies) if len(errors) else (),
        tuple(float(each) for each in latencies * np.exp(errors)) if len(errors) else (),
    )


def half_width(errors: np.ndarray, families: int, otherwise: float) -> float:
    """Of a 90 % interval, from errors (logarithms) of `families` left out of the fit; `otherwise` where one family cannot be."""
    if families < 2:
        return otherwise
    if families >= LEAST_FAMILIES:
        wide = float(np.quantile(np.abs(errors), min(1.0, COVERAGE * (1 + 1 / families)), method="higher"))
        return max(wide, LEAST_HALF_WIDTH)
    from scipy.stats import t

    spread = float(np.sqrt(np.mean(errors**2) * (1 + 1 / families)))
    return min(max(float(t.ppf((1 + COVERAGE) / 2, families - 1)) * spread, LEAST_HALF_WIDTH), otherwise)


def _held_out_errors(target: str, measured: Sequence[Measured], families: list[Hashable]) -> np.ndarray:
    """log(predicted / measured) of every measurement, by a fit without its family; none where there is one family."""
    if len(families) < 2:
        return np.array([])
    cases, latencies = _arrays(measured)
    order = np.random.default_rng(0).permutation(len(families))
    fold_of = {families[index]: place % MOST_FOLDS for place, index in enumerate(order)}
    folds = np.array([fold_of[each.family] for each in measured])
    errors = np.empty(len(measured))
    for fold in np.unique(folds):
        out = folds == fold
        parameters = fit_parameters(target, chosen(cases, ~out), latencies[~out])
        errors[out] = np.log(latencies_ms(parameters, chosen(cases, out)) / latencies[out])
    return errors


def chosen(cases: Cases, rows: np.ndarray) -> Cases:
    """Some of the cases."""
    return Cases(**{name: array[rows] for name, array in vars(cases).items()})


def _arrays(measured: Sequence[Measured]) -> tuple[Cases, np.ndarray]:
    return cases_of([(each.works, each.machine) for each in measured]), np.array([each.latency_ms for each in measured])


def _most(name: str) -> float:
    if name in ("memory", "cache", "scaling", "serial"):
        return 1.0
    return MOST_SHARE if name in ("linear", "linear_int8", "attention") else math.inf


@dataclass(frozen=True)
class Calibration:
    """A device's fits, by target, and where the measurements are from."""

    device: str
    origin: str
    fits: dict[str, Fit]


def keep(calibration: Calibration) -> Path:
    """Written whole or not at all; replaces an earlier one."""
    path = _path(calibration.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(calibration), indent=1) + "\n")
    part.replace(path)
    return path


def calibration_of(device: str) -> Calibration | None:
    """What `pocketformer calibrate` has kept; None where it was never run for that device.

    Raises:
        UsageError: the file is damaged.
    """
    path = _path(device)
    try:
        kept = json.loads(path.read_text())
        fits = {target: _fit(fit) for target, fit in kept["fits"].items() if target in TARGETS}
        return Calibration(device, kept["origin"], fits)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a whole calibration; calibrate {device} again, or delete the file") from error


def _fit(kept: dict[str, Any]) -> Fit:
    """From JSON, whose lists are tuples here."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    return Fit(**{**values, "parameters": Parameters(**kept["parameters"])})


def _path(device: str) -> Path:
    return home() / "calibrations" / f"{device}.json"
