"""A bundle's model card says what model.json knows, and what it does not."""

import zipfile
from typing import Any

import pytest
from test_bundle import DESCRIPTION, built, written  # noqa: F401

from compiler.model_card import CARD, model_card

TRAINING = {
    "epochs": 3,
    "seed": 0,
    "losses": ["hidden", "attention"],
    "distil_tokens": 200_000,
    "text": "wiki.txt.gz",
    "train_rows": 5749,
    "dev_rows": 1500,
    "dev_rows_in_train": 12,
}
SEEDS = {"pearson": {"seeds": 3, "mean": 0.81, "deviation": 0.004}}
ACCURACY = {"split": "dev", "metrics": {"pearson": 0.8123}, "seeds": SEEDS, "early": 0.79, "compiled_for": "host"}
WHOLE: dict[str, Any] = {**DESCRIPTION, "teacher": "minilm", "training": TRAINING, "accuracy": ACCURACY}


@pytest.mark.parametrize(
    "said",
    [
        "pearson 0.8123 (the main metric): this compiled model, on the dev split",
        "pearson over 3 seeds: mean 0.8100, deviation 0.0040",
        "by which it was chosen: 0.7900",
        "fine-tuned for 3 epochs on 5,749 rows of the train split, seed 0",
        "distilled by hidden, attention; body on 200,000 tokens at most, twice; text: wiki.txt.gz",
        "the 1,500 rows of the dev split took no part in training or in any choice; 12 of them stand in the train split too",
        "1.50 ms, measured, on host: batch 1, 32 tokens, 2 threads, fp32",
        "teacher: minilm",
    ],
)
def test_the_card_has_the_facts(said: str) -> None:
    assert said in model_card(WHOLE)


def test_another_teacher_for_logits_is_named() -> None:
    said = "learned the answers of roberta-large-mnli on the train split beside the labels"
    assert said not in model_card(WHOLE)
    card = model_card({**WHOLE, "training": {**TRAINING, "losses": [], "logits_teacher": "roberta-large-mnli"}})
    assert said in card
    assert "not distilled" not in card


def test_one_seed_is_said_to_say_nothing_of_others() -> None:
    alone = {"pearson": {"seeds": 1, "mean": 0.8123, "deviation": None}}
    assert "how much another would differ is not known" in model_card({**WHOLE, "accuracy": {**ACCURACY, "seeds": alone}})


def test_what_is_not_recorded_is_said_to_be_so() -> None:
    card = model_card({"architecture": "L1-H64-A1-F64", "device": "host", "seq_len": 32, "precision": "fp32"})
    for said in ("answers with an embedding", "not scored", "not measured", "data, losses and epochs: not recorded"):
        assert said in card


def test_a_prediction_is_a_limit_of_the_model() -> None:
    latency = {**DESCRIPTION["latency"], "source": "predicted"}  # type: ignore[dict-item]
    card = model_card({**WHOLE, "device": "galaxy-s20", "latency": latency})
    assert "its latency is a prediction" in card
    assert "scored as compiled for host, not on galaxy-s20" in card


def test_a_bundle_has_its_card(built, tmp_path) -> None:  # noqa: F811
    with zipfile.ZipFile(written(built, tmp_path / "a.zip")) as archive:
        assert archive.read(CARD).decode() == model_card(DESCRIPTION)
