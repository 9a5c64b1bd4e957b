"""The LSTM policy: REINFORCE moves probabilities the right way, by the right gradient; state is JSON; seeds decide."""

import json
import math

import pytest
import torch

from data.errors import UsageError
from engine.controller import Controller
from engine.space import Decision
from engine.strategies import Outcome, RandomStrategy, make_strategy, strategy_names

DECISIONS = (Decision("hidden", (256, 320, 384)), Decision("ffn", (384, 768)), Decision("ffn", (384, 768)))
OPTIONS = {"depth": 6, "hidden": 3, "ffn": 2}


def test_starts_near_uniform():
    controller = Controller(OPTIONS, seed=1)
    probabilities = controller.probabilities(DECISIONS, (0, 0, 0))
    assert [len(options) for options in probabilities] == [3, 2, 2]
    assert all(each == pytest.approx(1 / len(options), abs=0.05) for options in probabilities for each in options)


@pytest.mark.parametrize("reward", [1.0, -1.0])
def test_reward_moves_the_probability_of_its_choices(reward):
    controller = Controller(OPTIONS, seed=1)
    choices = (2, 1, 0)

    def likelihood() -> float:
        each = controller.probabilities(DECISIONS, choices)
        assert [sum(options) for options in each] == pytest.approx([1, 1, 1])
        return math.prod(options[choice] for options, choice in zip(each, choices, strict=True))

    before = likelihood()
    controller.observe(DECISIONS, choices, Outcome(reward))
    assert (likelihood() > before) is (reward > 0)


def test_gradient_is_the_papers():
    """-R * d log P / d theta, against torch's own derivative of the written-out probability."""
    controller = Controller(OPTIONS, seed=3)
    policy, choices, reward = controller._policy, (1, 0, 1), 0.25
    _, steps = policy.walk(DECISIONS, lambda step, _: choices[step])
    probability = torch.stack([step[choice].exp() for step, choice in zip(steps, choices, strict=True)]).prod()
    expected = torch.autograd.grad(probability, policy.start)[0] / probability * -reward
    controller.observe(DECISIONS, choices, Outcome(reward))
    assert torch.allclose(policy.start.grad, expected.detach(), atol=1e-7)


@pytest.mark.parametrize("target", [(2, 0, 1), (0, 1, 1), (1, 0, 0)])
def test_learns_which_candidates_are_worth_more(target):
    def worth(choices) -> float:
        return sum(a == b for a, b in zip(choices, target, strict=True)) / 3 - 0.5

    controller = Controller(OPTIONS, seed=0)
    rewards = []
    for _ in range(60):
        choices = controller.propose(DECISIONS)
        rewards.append(worth(choices))
        controller.observe(DECISIONS, choices, Outcome(rewards[-1]))
    assert sum(rewards[40:]) / 20 > 0.1  # uniform choices give -0.06


def test_a_huge_negative_reward_leaves_the_policy_whole():
    controller = Controller(OPTIONS, seed=0)
    for _ in range(20):
        controller.observe(DECISIONS, (0, 0, 0), Outcome(-1e6))
    assert all(math.isfinite(p) for each in controller.probabilities(DECISIONS, (0, 0, 0)) for p in each)


@pytest.mark.parametrize("name", strategy_names())
def test_state_is_json_and_continues_exactly(name):
    one = make_strategy(name, OPTIONS, seed=5)
    for _ in range(3):
        one.observe(DECISIONS, one.propose(DECISIONS), Outcome(0.7))
    other = make_strategy(name, OPTIONS, seed=5, state=json.loads(json.dumps(one.to_state())))
    for _ in range(3):
        choices = one.propose(DECISIONS)
        assert other.propose(DECISIONS) == choices
        one.observe(DECISIONS, choices, Outcome(-0.4))
        other.observe(DECISIONS, choices, Outcome(-0.4))
    assert other.to_state() == one.to_state()


@pytest.mark.parametrize("name", strategy_names())
def test_seeds_decide(name):
    draws = [[make_strategy(name, OPTIONS, seed).propose(DECISIONS) for _ in range(2)] for seed in range(12)]
    assert all(first == second for first, second in draws)
    assert len({first for first, _ in draws}) > 1


def test_sampling_leaves_torchs_own_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Controller(OPTIONS, seed=9).propose(DECISIONS)
    assert torch.equal(torch.rand(1), expected)


def test_random_choices_are_in_range_and_cover_all():
    strategy = RandomStrategy({})
    assert {choices[0] for choices in (strategy.propose(DECISIONS) for _ in range(50))} == {0, 1, 2}


def test_unknown_strategy():
    with pytest.raises(UsageError, match="unknown strategy 'x'; take one of bayes, reinforce, random, tpe"):
        make_strategy("x", OPTIONS, 0)
