"""The supernet's benchmark: architectures from all over the space, and what the two rankings have in common."""

import pytest

from benchmarks.supernet import render, spread, tau
from engine.architecture import PRESETS
from engine.space import SearchSpace


def test_architectures_are_of_every_depth_and_hidden_size_and_different():
    space = SearchSpace.for_teacher(PRESETS["minilm-l6"], (1, 2, 3), (256, 384), (384, 768))
    chosen = spread(space, 12, seed=0)
    assert len(set(map(str, chosen))) == 12
    assert {(each.layers, each.hidden_size) for each in chosen} == {
        (layers, size) for layers in (1, 2, 3) for size in (256, 384)
    }
    assert chosen == spread(space, 12, seed=0)
    assert chosen != spread(space, 12, seed=1)


def test_a_space_with_fewer_is_taken_whole():
    space = SearchSpace.for_teacher(PRESETS["minilm-l6"], (1,), (256, 384), (384, 768))
    assert len(spread(space, 12, seed=0)) == 4


@pytest.mark.parametrize(
    ("supernet", "trained", "expected"),
    [
        ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], 1.0),
        ([0.1, 0.2, 0.3], [0.7, 0.6, 0.5], -1.0),
        ([0.1, 0.2, 0.3], [0.5, 0.7, 0.6], 1 / 3),
    ],
)
def test_tau_is_kendalls(supernet, trained, expected):
    rows = [{"supernet": one, "trained": other} for one, other in zip(supernet, trained, strict=True)]
    assert tau(rows) == pytest.approx(expected)


def test_rankings_without_variation_have_none():
    rows = [
        {"architecture": f"L{n}", "supernet": 0.5, "trained": n / 10, "supernet_s": 1.0, "trained_s": 60.0} for n in range(3)
    ]
    assert tau(rows) is None
    assert render({"rows": rows, "kendall_tau": None}).endswith("Kendall's tau: none")
