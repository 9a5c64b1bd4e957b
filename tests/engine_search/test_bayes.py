"""Bayesian optimisation: its model's figures against a plain one, what it prefers, what it never proposes."""

import json
import math

import numpy as np
import pytest
from worlds import World

from engine.bayes import Bayes
from engine.gaussian_process import GaussianProcess, _settings
from engine.search import SearchState
from engine.settings import Settings
from engine.space import Decision
from engine.strategies import Outcome, make_strategy

DECISIONS = (
    Decision("depth", (1, 2, 3)),
    Decision("hidden", (256, 320, 384)),
    *(Decision("ffn", (384, 768, 1536)) for _ in range(3)),
)
LIMIT_MS = 2.0


def sizes(choices) -> tuple[int, int, list[int]]:
    layers, hidden, *ffn = (decision.options[choice] for decision, choice in zip(DECISIONS, choices, strict=True))
    return layers, hidden, ffn[:layers]


def outcome(choices) -> Outcome:
    layers, hidden, ffn = sizes(choices)
    latency_ms = 0.1 + layers * 0.1 + (layers * hidden * hidden * 4 + 2 * hidden * sum(ffn)) / 2.5e6
    accuracy = 0.5 + 0.1 * math.sqrt(layers) + hidden / 2000 + sum(ffn) / layers / 3e4
    if latency_ms > LIMIT_MS:
        return Outcome(-1.0, None, latency_ms, LIMIT_MS)
    return Outcome(accuracy, accuracy, latency_ms, LIMIT_MS)


def test_a_gaussian_process_predicts_as_the_textbook_does():
    """One setting, its kernel written out by loops."""
    rng = np.random.default_rng(1)
    points, targets, asked = rng.random((5, 3)), rng.random(5), rng.random((4, 3))
    families, theirs = np.array([7, 7, 8, 8, 9]), np.array([7, 8, 9, 10])
    model = GaussianProcess(points, targets, [0, 1, 1], families)
    model._settings, model._lower, model._weights = (each[:1] for each in (model._settings, model._lower, model._weights))
    model._shares = np.ones(1)
    first, second, amplitude, slope, shared, noise = model._settings[0]

    def kernel(x, y, same: bool) -> float:
        r = math.sqrt(5 * ((x[0] - y[0]) ** 2 / first**2 + ((x[1:] - y[1:]) ** 2).sum() / second**2))
        return amplitude**2 * (1 + r + r * r / 3) * math.exp(-r) + slope**2 * (1 + float(x @ y)) + shared**2 * same

    known = list(zip(points, families, strict=True))
    gram = np.array([[kernel(x, y, a == b) for y, b in known] for x, a in known]) + (noise**2 + 1e-8) * np.eye(5)
    scaled = (targets - targets.mean()) / targets.std()
    mean, deviation = model.predict(asked, theirs)
    for row, (x, family) in enumerate(zip(asked, theirs, strict=True)):
        cross = np.array([kernel(x, y, family == other) for y, other in known])
        expected = cross @ np.linalg.solve(gram, scaled)
        variance = kernel(x, x, True) - cross @ np.linalg.solve(gram, cross)
        assert mean[row] == pytest.approx(expected * targets.std() + targets.mean(), rel=1e-6)
        assert deviation[row] == pytest.approx(math.sqrt(variance) * targets.std(), rel=1e-4)


def test_its_settings_are_the_likeliest_of_a_fixed_sample():
    points = np.linspace(0, 1, 12)[:, None]
    families = np.zeros(12)
    smooth = GaussianProcess(points, points[:, 0] * 2, [0], families)
    rough = GaussianProcess(points, np.where(np.arange(12) % 2, 1.0, -1.0), [0], families)
    assert {tuple(each) for each in smooth._settings} <= {tuple(each) for each in _settings(1)}
    assert smooth.predict(np.array([[0.55]]), families[:1])[0][0] == pytest.approx(1.1, abs=0.02)
    assert rough.predict(points, families)[1].mean() > 3 * smooth.predict(points, families)[1].mean()


def test_what_a_family_shares_is_told_from_its_features():
    """Members of one differ by their feature; a member of another that is seen once tells of all of that one."""
    points, families = np.array([[0.1], [0.4], [0.7], [1.0], [0.2]]), np.array([0, 0, 0, 0, 1])
    model = GaussianProcess(points, np.array([0.1, 0.4, 0.7, 1.0, 3.2]), [0], families)
    (own, other, unseen), deviation = model.predict(np.array([[0.5]] * 3), np.array([0, 1, 2]))
    assert own < unseen < other
    assert deviation[0] < deviation[1] < deviation[2]


def test_it_finds_the_best_within_the_limit_in_a_tenth_of_the_space():
    every = [(d, h, *ffn, *[0] * (2 - d)) for d in range(3) for h in range(3) for ffn in np.ndindex(*[3] * (d + 1))]
    best = max(outcome(each).reward for each in every)
    assert len(every) == 117
    for seed in range(3):
        strategy, found = Bayes({}, seed), []
        for _ in range(12):
            choices = strategy.propose(DECISIONS)
            found.append(outcome(choices).reward)
            strategy.observe(DECISIONS, choices, outcome(choices))
        assert max(found) == pytest.approx(best)


def test_no_candidate_is_proposed_twice_however_its_absent_layers_are_written():
    strategy = Bayes({}, 0)
    proposed = [strategy.propose(DECISIONS) for _ in range(117)]
    assert len({str(sizes(each)) for each in proposed}) == 117
    assert strategy.propose(DECISIONS) is not None  # all are known: any


def test_a_bound_is_not_taken_for_a_latency():
    """Of a candidate that must be too slow, only that is known: the model of latency is left as it is."""
    one, other = Bayes({}, 0), Bayes({}, 0)
    for strategy in (one, other):
        for choices in ((0, 0, 0, 0, 0), (1, 1, 1, 1, 0), (2, 2, 2, 2, 2)):
            strategy.observe(DECISIONS, choices, outcome(choices))
    one.observe(DECISIONS, (2, 2, 2, 2, 1), Outcome(-1.5, None, 9.0, LIMIT_MS, measured=False))
    assert one._seen[-1]["latency_ms"] is None
    assert one.propose(DECISIONS) == other.propose(DECISIONS)


def test_a_large_space_is_compared_by_a_sample_and_the_best_ones_neighbours():
    decisions = (Decision("depth", (2, 4, 6, 8)), Decision("hidden", (256, 320, 384)), *[Decision("ffn", (384, 768, 1536))] * 8)
    strategy = make_strategy("bayes", {}, 3)
    for number in range(6):
        choices = strategy.propose(decisions)
        accuracy = 0.5 + sum(choices) / 100
        strategy.observe(decisions, choices, Outcome(accuracy, accuracy, 1.0 + number / 10, 2.0))
    again = make_strategy("bayes", {}, 3, json.loads(json.dumps(strategy.to_state())))
    assert again.propose(decisions) == strategy.propose(decisions)


def test_when_nothing_fits_yet_it_soon_finds_what_does():
    """After three far over the limit, from their latencies alone."""
    strategy, found = Bayes({}, 0), []
    for choices in ((2, 2, 2, 2, 2), (2, 2, 2, 2, 1), (2, 2, 2, 1, 1)):
        strategy.observe(DECISIONS, choices, Outcome(-2.0, None, outcome(choices).latency_ms, 0.8))
    while len(found) < 4 and not any(each <= 0.8 for each in found):
        choices = strategy.propose(DECISIONS)
        found.append(outcome(choices).latency_ms)
        strategy.observe(DECISIONS, choices, Outcome(-1.2, None, found[-1], 0.8))
    assert found[-1] <= 0.8


def test_two_phases_are_decided_one_after_the_other():
    state = World().run(Settings(latency_ms=5.0, trials=8, phases=2))
    assert [trial.phase for trial in state.trials] == [1, 1, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("parallel", [1, 3])
def test_killed_at_any_step_and_resumed_it_proposes_the_same(parallel):
    settings = Settings(trials=9, parallel=parallel, seed=2)
    alone = World().run(settings)
    resumed = World().run(settings, each=lambda state: SearchState.from_json(json.loads(json.dumps(state.to_json()))))
    assert [trial.name for trial in resumed.trials] == [trial.name for trial in alone.trials]
    assert resumed == alone
