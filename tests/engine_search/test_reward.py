"""The reward, number by number against CANAO section 3.3."""

import pytest

from engine.reward import feasible_reward, infeasible_reward, next_baseline


@pytest.mark.parametrize(("latency_ms", "limit_ms", "reward"), [(10, 5, -2.0), (5.5, 5, -1.1), (50, 5, -10.0)])
def test_over_the_limit(latency_ms, limit_ms, reward):
    assert infeasible_reward(latency_ms, limit_ms) == pytest.approx(reward)


def test_within_the_limit():
    assert feasible_reward(4, 5, accuracy=0.8, baseline=0.7) == pytest.approx(0.1 + 0.8)
    assert feasible_reward(5, 5, accuracy=0.5, baseline=0.7) == pytest.approx(-0.2 + 1.0)


def test_the_first_candidate_has_no_baseline_to_beat():
    assert feasible_reward(4, 5, accuracy=0.8, baseline=None) == pytest.approx(0.8)


def test_baseline_is_a_moving_average():
    assert next_baseline(None, 0.6, 0.8) == 0.6
    assert next_baseline(0.6, 0.8, 0.9) == pytest.approx(0.9 * 0.6 + 0.1 * 0.8)
