"""Calibration finds back what made synthetic measurements, and its interval holds what it says on families that it has not seen."""

import math

import numpy as np
import pytest

from data.errors import UsageError
from engine.architecture import Architecture
from engine.prediction.calibration import Calibration, Measured, calibration_of, expected, fit, half_width, keep
from engine.prediction.kernels import kernels_of
from engine.prediction.machine import machine_of
from engine.prediction.predict import predict
from engine.prediction.roofline import Parameters, cases_of, latencies_ms

TRUE = Parameters(0.5, 0.3, 0.2, 40.0, 0.15, 0.05, 0.3, 0.15, 30.0)
DEVICE = "hikey-970"


def measurements(families: int, each: int, noise: float, parameters: Parameters = TRUE, seed: int = 0) -> list[Measured]:
    """Latencies by known parameters, each multiplied by noise."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(families):
        heads = int(random.integers(2, 13))
        ffn = int(random.integers(4, 49)) * 64
        for _ in range(each):
            model = Architecture(64 * heads, heads, (ffn,) * int(random.integers(1, 13)))
            works = kernels_of(model, int(random.choice([32, 64, 128, 256])))
            machine = machine_of(DEVICE, int(random.choice([1, 2, 4])))
            exact = float(latencies_ms(parameters, cases_of([(works, machine)]))[0])
            found.append(Measured(works, machine, exact * math.exp(random.normal(0, noise)), (heads, ffn)))
    return found


def errors(parameters: Parameters, measured: list[Measured]) -> np.ndarray:
    cases = cases_of([(each.works, each.machine) for each in measured])
    return np.log(latencies_ms(parameters, cases) / [each.latency_ms for each in measured])


def test_predictions_of_known_parameters_come_back():
    found = fit("big", measurements(20, 4, 0.0))
    unseen = measurements(20, 4, 0.0, seed=1)
    assert np.abs(errors(expected("big")[0], unseen)).mean() > 0.2
    assert np.abs(errors(found.parameters, unseen)).max() < 0.05
    assert found.error is not None
    assert found.error < 0.02
    assert found.parameters.linear == pytest.approx(TRUE.linear, rel=0.1)


def test_an_outlier_moves_little():
    measured = measurements(20, 4, 0.02)
    spoiled = [*measured[1:], Measured(measured[0].works, measured[0].machine, measured[0].latency_ms * 20, "odd")]
    unseen = measurements(20, 4, 0.0, seed=1)
    assert np.abs(errors(fit("big", spoiled).parameters, unseen)).mean() < 0.05


def test_the_interval_holds_nine_of_ten_that_were_not_seen():
    inside = []
    for seed in range(3):
        found = fit("big", measurements(24, 4, 0.1, seed=seed))
        unseen = measurements(60, 4, 0.1, seed=100 + seed)
        inside.append(np.abs(errors(found.parameters, unseen)) <= found.half_width)
    assert 0.85 <= np.mean(inside) <= 0.97


def test_the_interval_widens_with_noise_and_with_fewer_families():
    quiet, noisy = (fit("big", measurements(12, 4, noise)).half_width for noise in (0.02, 0.2))
    assert noisy > 3 * quiet
    few, many = np.array([0.1] * 12), np.array([0.1] * 48)
    assert half_width(few, 3, 9.0) > half_width(many, 12, 9.0)
    assert half_width(np.array([]), 1, 0.9) == 0.9


def test_a_calibration_is_kept_and_used(fresh_home):
    model = Architecture(256, 4, (1024,) * 4)
    before = predict(model, DEVICE, 1)
    assert "not calibrated" in before.basis
    keep(Calibration(DEVICE, "measured.csv", {"big": fit("big", measurements(20, 4, 0.05))}))
    after = predict(model, DEVICE, 1)
    exact = float(latencies_ms(TRUE, cases_of([(kernels_of(model, 128), machine_of(DEVICE, 1))]))[0])
    assert after.latency_ms == pytest.approx(exact, rel=0.1)
    assert after.high_ms / after.low_ms < 0.5 * before.high_ms / before.low_ms
    assert after.low_ms < after.latency_ms < after.high_ms
    assert after.basis.startswith("calibrated on 80 measurements of 19 families (measured.csv), median error")
    other = predict(model, "galaxy-s20", 1)
    assert "not calibrated" in other.basis


def test_what_was_not_measured_has_a_wide_interval(fresh_home):
    keep(Calibration(DEVICE, "measured.csv", {"big": fit("big", measurements(20, 4, 0.05))}))
    model = Architecture(256, 4, (1024,) * 4)
    known, unfused = predict(model, DEVICE, 1), predict(model, DEVICE, 1, fusion="none")
    little = predict(model, DEVICE, 1, target="little")
    for wide in (unfused, little):
        assert wide.high_ms / wide.low_ms > 2 * known.high_ms / known.low_ms
    assert "none of them with fusion none" in unfused.basis
    assert "calibrated on 'big' only, so for 'little' what other engines reach" in little.basis


def test_a_damaged_calibration_is_said(fresh_home):
    path = keep(Calibration(DEVICE, "measured.csv", {"big": fit("big", measurements(2, 2, 0.05))}))
    assert calibration_of(DEVICE) is not None
    path.write_text(path.read_text()[:50])
    with pytest.raises(UsageError, match="is not a whole calibration; calibrate hikey-970 again"):
        predict(Architecture(256, 4, (1024,)), DEVICE)
