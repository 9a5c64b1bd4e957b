"""The search space: what CANAO allows and what a teacher can pass on."""

from dataclasses import replace
from itertools import islice, product

import pytest

from data.errors import UsageError
from engine.architecture import PRESETS, Architecture
from engine.space import SearchSpace, phase_one_trials

MINILM = SearchSpace.for_teacher(PRESETS["minilm-l6"])


def test_space_of_minilm():
    assert MINILM.depths == (1, 2, 3, 4, 5, 6)
    assert MINILM.hidden_sizes == (256, 320, 384)
    assert MINILM.ffn_sizes == (384, 768, 1152, 1536)


def test_space_of_bert_base():
    space = SearchSpace.for_teacher(PRESETS["bert-base"])
    assert space.depths == (1, 2, 3, 4, 5, 6, 8, 10, 12)
    assert space.hidden_sizes == tuple(range(256, 769, 64))
    assert space.reference_ffn_size == 768


def test_a_teacher_with_odd_sizes_keeps_its_own():
    space = SearchSpace.for_teacher(PRESETS["tinybert-4"])
    assert space.hidden_sizes == (312,)
    assert space.ffn_sizes == (256, 576, 896, 1200)


def test_phase_one_varies_the_depth_at_the_teachers_width():
    assert [str(MINILM.architecture(1, (choice,))) for choice in (0, 5)] == ["L1-H384-A12-F384", "L6-H384-A12-F384"]


def test_a_narrower_student_keeps_the_teachers_embeddings():
    narrow = MINILM.architecture(2, (0, 1, 3))
    assert str(narrow) == "L2-H256-A8-F768,1536-E384"
    assert MINILM.architecture(2, (2, 1, 1)) == Architecture.parse("L2-H384-A12-F768")


def test_the_teachers_vocabulary_is_kept():
    space = SearchSpace.for_teacher(replace(PRESETS["minilm-l6"], vocab_size=1000, max_positions=128))
    assert space.architecture(1, (0,)).vocab_size == 1000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depths": (7,)}, "depths up to 7, but the teacher's layers is 6"),
        ({"hidden_sizes": (512,)}, "hidden_sizes up to 512"),
        ({"hidden_sizes": (250,)}, "hidden size 250 is not a multiple of the teacher's head width 32"),
        ({"ffn_sizes": (4096,)}, "ffn_sizes up to 4096"),
    ],
)
def test_sizes_that_no_student_can_inherit_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        SearchSpace.for_teacher(PRESETS["minilm-l6"], **given)


def test_ascending_visits_every_candidate_once():
    found = [choices for choices, _ in MINILM.ascending(2, 2, lambda architecture: True)]
    assert sorted(found) == sorted(product(range(3), range(4), range(4)))


def test_ascending_leaves_out_what_lies_above_the_unacceptable():
    def acceptable(architecture):
        return max(architecture.ffn_sizes) <= 768

    found = [choices for choices, _ in MINILM.ascending(2, 2, acceptable)]
    assert sorted(found) == sorted(product(range(3), range(2), range(2)))


def test_ascending_is_cheap_in_a_space_of_millions():
    space = SearchSpace.for_teacher(PRESETS["bert-base"])
    assert len(list(islice(space.ascending(2, 12, lambda architecture: True), 20))) == 20


def test_share_of_phase_one():
    assert [phase_one_trials(trials, 0.375) for trials in (1, 2, 3, 8, 20)] == [1, 1, 1, 3, 7]
