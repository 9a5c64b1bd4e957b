"""Distillation brings a cut body nearer to its teacher, within its time, and survives being stopped or killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import PAIRS, TINY

from compiler.quiet import never
from data.errors import ArtifactError, Cancelled, TrainingError
from data.home import subfolder
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.corpus import Corpus
from engine.distillation import Plan, _Run
from engine.losses import feature_map_transfer
from engine.pace import silent
from engine.student import inherited
from engine.teacher import Teacher
from engine.tokens import collate, encode
from engine.trunk import Distiller

pytestmark = pytest.mark.usefixtures("steps_of_10_ms")

HALF = replace(TINY, ffn_sizes=(16, 16))
NARROW = replace(TINY, hidden_size=8, heads=2, ffn_sizes=(16, 16), embedding_size=16)
PLAN = Plan(tokens=10**9, seconds=1.2, seed=0, losses=("hidden", "attention"), ffn_choices=(8, 16, 32))


def _distance(teacher: Teacher, weights: dict[str, torch.Tensor], ffn_sizes: tuple[int, ...]) -> float:
    batch = collate(encode(teacher.tokenizer, PAIRS, 32))
    student = inherited(replace(HALF, ffn_sizes=ffn_sizes), weights, 0, "mean", 0).eval()
    with torch.no_grad():
        ours, theirs = student.features(*batch).hidden[-1], teacher.encoder.features(*batch).hidden[-1]
    return float(feature_map_transfer(ours, theirs, batch.attention_mask))


def test_one_trunk_serves_every_ffn_size(teacher: Teacher, corpus: Corpus) -> None:
    distiller = Distiller(teacher, corpus, PLAN)
    before = distiller.undistilled(replace(HALF, ffn_sizes=(32, 32))).state_dict()
    after = load_file(str(distiller.trunk(HALF, silent, never)))
    for sizes in ((8, 8), (16, 32), (32, 32)):
        assert _distance(teacher, after, sizes) < 0.7 * _distance(teacher, before, sizes)


def test_embeddings_stay_the_teachers(teacher: Teacher, corpus: Corpus) -> None:
    after = load_file(str(Distiller(teacher, corpus, replace(PLAN, seconds=0.1)).trunk(HALF, silent, never)))
    assert torch.equal(after["embeddings.word_embeddings.weight"], teacher.encoder.embeddings.word_embeddings.weight)


def test_a_trunk_is_distilled_once(teacher: Teacher, corpus: Corpus) -> None:
    plan = replace(PLAN, seconds=0.1)
    distiller = Distiller(teacher, corpus, plan)
    first = distiller.trunk(HALF, silent, never)
    written = first.stat().st_mtime_ns
    assert distiller.trunk(replace(HALF, ffn_sizes=(8, 32)), silent, never) == first
    assert first.stat().st_mtime_ns == written
    assert Distiller(teacher, corpus, replace(plan, seed=1)).trunk(HALF, silent, never) != first


@pytest.mark.parametrize("architecture", [HALF, NARROW])
def test_a_tailored_body_goes_on_from_the_trunk(teacher: Teacher, corpus: Corpus, architecture) -> None:
    distiller = Distiller(teacher, corpus, replace(PLAN, seconds=0.1))
    weights = load_file(str(distiller.tailored(architecture, silent, never)))
    assert weights["encoder.layer.1.intermediate.dense.weight"].shape == (16, architecture.hidden_size)
    assert inherited(architecture, weights, 1, "pair", 0).outputs == 1


def test_a_budget_of_tokens_gives_the_same_body_on_a_slow_machine(
    teacher: Teacher, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, tokens=2000, seconds=600)
    told: list[float] = []
    first = load_file(str(Distiller(teacher, corpus, plan).trunk(HALF, lambda _, fraction, __: told.append(fraction), never)))
    ticks = count()
    monkeypatch.setattr("engine.distillation.perf_counter", lambda: next(ticks) * 3.0)
    slow = load_file(str(Distiller(teacher, corpus, replace(plan, seconds=601)).trunk(HALF, silent, never)))
    assert told[-1] == 1.0
    for name, weight in first.items():
        assert torch.equal(weight, slow[name]), name


def test_a_progressive_body_is_trained_one_layer_after_the_other(teacher: Teacher, corpus: Corpus, tmp_path: Path) -> None:
    plan = replace(PLAN, tokens=2000, progressive=True, ffn_choices=())
    student = Distiller(teacher, corpus, plan).undistilled(HALF)
    run = _Run(teacher, student, None, plan, tmp_path / "checkpoint")
    batches = [collate(rows) for rows in corpus.batches(0, 0, 128)]
    changed: dict[int, set[int]] = {0: set(), 1: set()}
    for batch in batches:
        if run.over:
            break
        before = [layer.output.dense.weight.clone() for layer in student.layers]
        stage = int(run.tokens >= 1000)
        run.step(batch)
        changed[stage] |= {
            number
            for number, (layer, old) in enumerate(zip(student.layers, before, strict=True))
            if not torch.equal(layer.output.dense.weight, old)
        }
    assert changed == {0: {0}, 1: {1}}


def test_a_progressive_body_comes_nearer_to_its_teacher(teacher: Teacher, corpus: Corpus) -> None:
    distiller = Distiller(teacher, corpus, replace(PLAN, progressive=True))
    after = load_file(str(distiller.trunk(HALF, silent, never)))
    before = distiller.undistilled(replace(HALF, ffn_sizes=(32, 32))).state_dict()
    assert _distance(teacher, after, (32, 32)) < 0.8 * _distance(teacher, before, (32, 32))


def test_a_body_that_the_time_cuts_off_is_told(teacher: Teacher, corpus: Corpus) -> None:
    told: list[str] = []
    Distiller(teacher, corpus, PLAN).trunk(HALF, lambda message, *_: told.append(message), never)
    assert "the time allowed was up after" in told[-1]
    assert "of 1,000,000,000 tokens" in told[-1]


def test_progress_rises_to_one(teacher: Teacher, corpus: Corpus) -> None:
    told: list[tuple[str, float]] = []
    Distiller(teacher, corpus, PLAN).trunk(HALF, lambda message, fraction, data: told.append((message, fraction)), never)
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "2 layers of hidden size 16" in told[0][0]


def test_cancelled_work_is_gone_on_with(teacher: Teacher, corpus: Corpus) -> None:
    distiller = Distiller(teacher, corpus, PLAN)
    asked = count()
    with pytest.raises(Cancelled):
        distiller.trunk(HALF, silent, lambda: next(asked) > 50)
    (checkpoint,) = subfolder("cache", "trunks").glob("*/checkpoint.pt")
    state = load_checkpoint(checkpoint)
    assert state is not None
    reached = state["counters"]["trained_s"]
    assert 0.2 < reached < 0.6
    told: list[float] = []
    distiller.trunk(HALF, lambda message, fraction, data: told.append(fraction), never)
    assert told[0] >= reached / PLAN.seconds
    assert not checkpoint.exists()


def test_a_killed_distillation_is_gone_on_with(tmp_path: Path, teacher: Teacher, corpus: Corpus) -> None:
    """SIGKILL in the midst of it leaves no lock and no half-written body behind."""
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from dataclasses import replace
from compiler.quiet import never
from engine import pace
from engine.corpus import Corpus
from engine.teacher import load_teacher
from engine.trunk import Distiller
from test_distillation import HALF, PLAN
from tiny import PAIRS, SENTENCES
pace.CHECKPOINT_EVERY_S = 0.2
teacher = load_teacher({str(teacher.folder)!r})
corpus = Corpus(PAIRS, [" ".join(SENTENCES)], teacher.tokenizer, 32)
Distiller(teacher, corpus, replace(PLAN, seconds=100.0)).trunk(HALF, pace.silent, never)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent)
    try:
        trunks = subfolder("cache", "trunks")
        deadline = time.monotonic() + 60
        while not list(trunks.glob("*/checkpoint.pt")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (checkpoint,) = trunks.glob("*/checkpoint.pt")
    state = load_checkpoint(checkpoint)
    assert state is not None
    save_checkpoint({**state, "counters": {**state["counters"], "trained_s": 99.9}}, checkpoint)
    body = Distiller(teacher, corpus, replace(PLAN, seconds=100.0)).trunk(HALF, silent, never)
    assert body.parent == checkpoint.parent
    assert load_file(str(body))


def test_a_loss_that_is_no_number_is_told(teacher: Teacher, corpus: Corpus) -> None:
    teacher.encoder.layers[3].output.dense.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="not a number"):
        Distiller(teacher, corpus, PLAN).trunk(HALF, silent, never)


def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        target = Path("/proc/no-such-folder/checkpoint.pt")
    else:
        tmp_path.chmod(0o500)
        target = tmp_path / "deeper" / "checkpoint.pt"
    with pytest.raises(ArtifactError, match="free disk space"):
        save_checkpoint({"steps": 1}, target)
