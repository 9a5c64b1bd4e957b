"""Thousands of predictions at once are those of `predict`, one by one."""

import random

import numpy as np
import pytest

from engine.architecture import PRESETS, Architecture
from engine.prediction.accuracy import LEAST, learn
from engine.prediction.many import kernel_times, predict_many
from engine.prediction.predict import predict
from engine.space import SearchSpace

pytestmark = pytest.mark.usefixtures("fresh_home")


@pytest.mark.parametrize(
    ("device", "precision"), [("galaxy-s20", "fp32"), ("pixel-8", "int8"), ("hikey-970", "fp32"), ("pixel-8", "fp16")]
)
def test_each_is_what_predict_says(device, precision):
    """Among them models whose weights stay in the caches, and models whose do not."""
    draw = random.Random(1)
    drawn = [SearchSpace.for_teacher(PRESETS[name]).drawn(draw) for name in ("minilm-l6", "bert-base") for _ in range(12)]
    models = [*drawn, *PRESETS.values()]
    found = predict_many(models, device, precision=precision)
    wanted = [predict(model, device, precision=precision) for model in models]
    np.testing.assert_allclose(found.latency_ms, [each.latency_ms for each in wanted], rtol=1e-9)
    np.testing.assert_allclose(found.latency_ms * found.factor, [each.high_ms for each in wanted], rtol=1e-9)
    assert (found.basis, found.threads) == (wanted[0].basis, wanted[0].threads)


def test_no_architecture_is_no_error():
    assert len(predict_many([], "galaxy-s20").latency_ms) == 0


def test_the_kernels_times_add_up_to_the_latency():
    times = kernel_times(PRESETS["minilm-l6"], "galaxy-s20")
    found = predict(PRESETS["minilm-l6"], "galaxy-s20")
    assert sum(each.ms for each in times) == pytest.approx(found.latency_ms)
    assert sum(each.calls for each in times) == found.kernels
    assert times[0].kind == "linear"


def drawn(number):
    draw = random.Random(0)
    space = SearchSpace.for_teacher(PRESETS["minilm-l6"])
    return [space.drawn(draw) for _ in range(number)]


def truth(model: Architecture) -> float:
    return (
        0.3 + 0.2 * np.log(model.layers) + 0.1 * np.log(model.hidden_size / 256) + 0.05 * np.log(np.mean(model.ffn_sizes) / 768)
    )


def test_accuracy_is_learned_from_trials_and_its_error_is_that_on_new_ones():
    draw, models, new = random.Random(2), drawn(60), drawn(400)[60:]
    learned = learn(models, [truth(model) + draw.gauss(0, 0.02) for model in models])
    errors = learned.predict(new) - [truth(model) for model in new]
    assert np.sqrt(np.mean(errors**2)) < 0.015
    assert 0.015 < learned.error < 0.03
    assert learned.explained > 0.8


def test_accuracies_that_follow_no_size_explain_nothing():
    draw = random.Random(3)
    models = drawn(60)
    assert learn(models, [draw.random() for _ in models]).explained < 0.1


def test_too_few_trials_teach_nothing():
    models = drawn(LEAST)
    assert learn(models[:-1], [0.1 * index for index in range(LEAST - 1)]) is None
    assert learn(models, [0.5] * LEAST) is None
