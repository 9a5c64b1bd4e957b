"""A candidate from its architecture to an accuracy and to a program, as `jobs` calls it, on a user's own file."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import PAIRS, TINY, write_model

from compiler.build import build
from compiler.precisions import FP32, INT8
from compiler.quiet import never
from data.errors import Cancelled, ModelError, UsageError
from engine.architecture import Architecture
from engine.candidates import evaluate_candidate, export_candidate, score_compiled, untrained_candidate
from engine.export import export_reference, reference_model
from engine.ground import ground_of
from engine.pace import silent
from engine.settings import SUPERNET, Settings
from engine.supernet import accuracies

pytestmark = pytest.mark.usefixtures("steps_of_100_ms")

STUDENT = replace(TINY, ffn_sizes=(16, 8))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A search on a small CSV file with a small teacher."""
    table = tmp_path / "alike.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["one", "two", "score"])
        for number, (first, second) in enumerate(PAIRS * 4):
            writer.writerow([f"{first} {number % 7}", second, 1.0 + 4.0 * (first.split()[0] == second.split()[0])])
    (tmp_path / "text.txt").write_text("the man plays a song . the woman eats .\n" * 5)
    return Settings(
        task=f"{table}?text=one&pair=two&label=score&kind=regression",
        teacher=str(write_model(tmp_path / "teacher")),
        text=str(tmp_path / "text.txt"),
        seq_len=32,
        distil_seconds=1,
        final_epochs=2,
        ffn_sizes=(8, 16),
    )


def test_early_and_final_accuracy_differ_in_their_rows_and_bodies(settings: Settings, tmp_path: Path) -> None:
    early, final = (
        evaluate_candidate(STUDENT, settings, stage=stage, workdir=tmp_path / stage) for stage in ("early", "final")
    )
    for result in (early, final):
        assert 0 <= result.accuracy <= 1
        assert result.accuracy == next(iter(result.metrics.values()))
        assert list(result.metrics) == ["pearson", "spearman"]
        assert result.outputs == 1
        assert result.weights.is_file()
    assert len(list((tmp_path / "home" / "cache" / "trunks").glob("*/body.safetensors"))) == 2


def test_the_supernets_accuracy_takes_no_training_of_the_candidate(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, accuracy=SUPERNET)
    said: list[str] = []

    def accuracy(name: str, ffn_sizes: tuple[int, ...]) -> float:
        architecture = replace(STUDENT, ffn_sizes=ffn_sizes)
        progress = lambda message, fraction, data: said.append(message)  # noqa: E731
        result = evaluate_candidate(architecture, settings, stage="early", workdir=tmp_path / name, progress=progress)
        assert result.seconds == 0
        assert load_file(str(result.weights))["encoder.layer.1.intermediate.dense.bias"].shape == (ffn_sizes[1],)
        return result.accuracy

    first = accuracy("first", (16, 8))
    assert any(message.startswith("supernet of 2 layers, hidden size 16: training, epoch 1 of 1") for message in said)
    monkeypatch.setattr("engine.supernet.train", lambda *_: pytest.fail("the network is tuned once"))
    assert accuracy("again", (16, 8)) == first
    assert accuracy("other", (8, 8)) != first
    assert len(list((tmp_path / "home" / "cache" / "supernets").glob("*/network.safetensors"))) == 1


def test_the_supernets_networks_are_of_their_task_and_body(settings: Settings, tmp_path: Path) -> None:
    for changes in ({}, {"losses": ()}, {"early_epochs": 2}, {"seed": 1}):
        asked = replace(settings, accuracy=SUPERNET, **changes)
        evaluate_candidate(STUDENT, asked, stage="early", workdir=tmp_path / str(changes))
    assert len(list((tmp_path / "home" / "cache" / "supernets").glob("*/network.safetensors"))) == 4


@pytest.mark.usefixtures("in_float32")
def test_all_members_of_a_network_are_scored_as_each_alone(settings: Settings, tmp_path: Path) -> None:
    """What they share is computed once, the FFNs' sums in parts; a narrower body has a projection before it."""
    settings = replace(settings, accuracy=SUPERNET, distil_seconds=0)
    for body in (STUDENT, replace(STUDENT, hidden_size=8, heads=2, embedding_size=16)):
        found = accuracies(ground_of(settings), body, silent, never)
        sizes = ground_of(settings).plan.ffn_choices
        assert sorted(found) == sorted((first, second) for first in sizes for second in sizes)
        for ffn_sizes in ((sizes[0], sizes[-1]), (sizes[-1], sizes[0])):
            member, workdir = replace(body, ffn_sizes=ffn_sizes), tmp_path / str(replace(body, ffn_sizes=ffn_sizes))
            alone = evaluate_candidate(member, settings, stage="early", workdir=workdir)
            assert found[ffn_sizes] == pytest.approx(alone.accuracy, abs=1e-5)
    with pytest.raises(Cancelled):
        accuracies(ground_of(settings), STUDENT, silent, lambda: True)


@pytest.mark.usefixtures("in_float32")
def test_a_compiled_candidate_is_scored_itself(settings: Settings, tmp_path: Path, session_home: str) -> None:
    cache = tmp_path / "home" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "zig").symlink_to(Path(session_home) / "cache" / "zig")
    trained = evaluate_candidate(STUDENT, settings, stage="final", workdir=tmp_path / "work")
    scores = {}
    for precision in (FP32, INT8):
        asked = replace(settings, precision=precision)
        built = build(export_candidate(STUDENT, asked, trained.weights, tmp_path / precision), tmp_path / f"{precision}-built")
        scores[precision] = score_compiled(built.folder, asked)
    assert scores["fp32"] == pytest.approx(dict(trained.metrics), abs=1e-3)
    assert list(scores["int8"]) == list(scores["fp32"])
    assert scores["int8"]["pearson"] == pytest.approx(trained.accuracy, abs=0.1)
    with pytest.raises(Cancelled):
        score_compiled(built.folder, settings, should_stop=lambda: True)


def test_finished_work_is_not_done_again(settings: Settings, tmp_path: Path) -> None:
    first = evaluate_candidate(STUDENT, settings, stage="early", workdir=tmp_path / "work")
    written = first.weights.stat().st_mtime_ns
    assert evaluate_candidate(STUDENT, settings, stage="early", workdir=tmp_path / "work") == first
    assert first.weights.stat().st_mtime_ns == written
    evaluate_candidate(STUDENT, replace(settings, seed=1), stage="early", workdir=tmp_path / "work")
    assert first.weights.stat().st_mtime_ns != written


@pytest.mark.parametrize("losses", [(), ("logits",), ("hidden",), ("hidden", "attention", "logits")])
def test_every_choice_of_losses_trains(
    settings: Settings, tmp_path: Path, losses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "engine.ground.check_answers", lambda *_: None
    )  # a few steps leave this teacher as good as chance, or worse
    asked = replace(settings, losses=losses, distil_seconds=0 if not losses else 1)
    result = evaluate_candidate(STUDENT, asked, stage="final", workdir=tmp_path / "work")
    assert result.weights.is_file()
    assert (tmp_path / "home" / "cache" / "teachers").exists() == ("logits" in losses)


def test_cancelling_leaves_nothing_that_looks_finished(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        evaluate_candidate(STUDENT, settings, stage="early", workdir=tmp_path / "work", should_stop=lambda: True)
    assert not (tmp_path / "work" / "early.json").exists()


def test_progress_names_what_is_done(settings: Settings, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    evaluate_candidate(
        STUDENT,
        settings,
        stage="early",
        workdir=tmp_path / "work",
        progress=lambda message, fraction, data: told.append((message, fraction)),
    )
    assert told[0][0].startswith("distilling 2 layers")
    assert told[-1] == ("training, epoch 1 of 1", 1.0)


def test_what_cannot_be_learned_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="larger than its teacher"):
        evaluate_candidate(replace(TINY, ffn_sizes=(8,) * 9), settings, stage="early", workdir=tmp_path / "work")
    with pytest.raises(UsageError, match="unknown task"):
        evaluate_candidate(STUDENT, replace(settings, task="nothing"), stage="early", workdir=tmp_path / "work")
    with pytest.raises(ModelError):
        evaluate_candidate(STUDENT, replace(settings, teacher=str(tmp_path)), stage="early", workdir=tmp_path / "work")


def test_the_exported_program_answers_as_the_trained_student(settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("compiler.build")
    result = evaluate_candidate(STUDENT, settings, stage="early", workdir=tmp_path / "work")
    request = export_candidate(STUDENT, settings, result.weights, tmp_path / "out")
    samples = np.load(request.samples)
    assert samples["input_ids"].shape[0] >= 16
    assert samples["input_ids"].shape[1] == 32
    assert samples["input_ids"].dtype == np.int64
    program = torch.export.load(str(request.program)).module()
    names = ("input_ids", "token_type_ids", "attention_mask")
    for row in range(3):
        answer = program(*(torch.from_numpy(samples[name][row : row + 1]) for name in names))
        np.testing.assert_allclose(answer.detach().numpy(), samples["expected"][row : row + 1], atol=1e-5)


def test_a_program_for_its_latency_alone_needs_no_training(settings: Settings, tmp_path: Path) -> None:
    built = build(untrained_candidate(STUDENT, settings), tmp_path / "built")
    assert built.seq_lens == [settings.seq_len]
    assert built.max_abs_error is not None
    assert built.max_abs_error < 1e-4
    assert not (tmp_path / "home" / "cache" / "trunks").exists()


def test_the_wheels_teacher_makes_a_student(settings: Settings, tmp_path: Path) -> None:
    asked = replace(settings, teacher="minilm", ffn_sizes=(384,), hidden_sizes=(256, 384))
    architecture = Architecture.parse("L1-H256-A8-F384-E384")
    result = evaluate_candidate(architecture, asked, stage="early", workdir=tmp_path / "work")
    assert json.loads((tmp_path / "work" / "early.json").read_text())["result"]["accuracy"] == result.accuracy


@pytest.mark.parametrize(("model", "shape"), [("minilm-l6", (16, 384)), ("L1-H64-A2-F64", (16, 64))])
def test_a_model_without_a_task_answers_with_an_embedding(tmp_path: Path, model: str, shape: tuple[int, int]) -> None:
    _, samples = export_reference(reference_model(model), 32, tmp_path / "out")
    expected = np.load(samples)["expected"]
    assert expected.shape == shape
    assert expected.dtype == np.float32


def test_a_sequence_beyond_the_models_positions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="512 positions"):
        export_reference(reference_model("L1-H64-A2-F64"), 600, tmp_path / "out")


def test_a_model_to_ship_is_exported_for_shorter_sentences_too(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.tasks import load_task
    from engine.encoder import Encoder
    from engine.problem import pooling_of

    monkeypatch.setattr("compiler.lengths.USUAL_SEQ_LENS", (8, 16, 32))
    task = load_task(settings.task)
    save_file(Encoder(STUDENT, task.outputs, pooling_of(task)).state_dict(), tmp_path / "weights.safetensors")
    shipped = export_candidate(STUDENT, settings, tmp_path / "weights.safetensors", tmp_path / "shipped")
    assert shipped.seq_lens == (8, 16)
    tokens = np.load(shipped.samples)["attention_mask"].sum(axis=1)
    assert {8, 16, 32} <= set(tokens)  # each length is checked on a sentence that fills it
