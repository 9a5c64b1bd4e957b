"""Fine-tuning throughput against `transformers.Trainer`: `python -m benchmarks.training --task stsb [--rows N] [--json FILE]`.

Both fine-tune the same encoder from the same weights, on the same rows in batches of 32, with the same optimizer, learning rates, schedule,
epochs, precision and threads, in turns and in one process; each round has a seed of its own. Trainer pads each batch to its longest sentence
(`DataCollatorWithPadding`'s way); it runs twice, with its default order of rows and with `train_sampling_strategy="group_by_length"`.
The time is that of training alone; then all answer the dev split. Beside it stands the processor's time, which other programs on the machine
change less: compare by it, with `--threads 1`, where there are any. With `--json` an interrupted benchmark goes on, and more rounds can be added. Needs the package accelerate.
"""

import argparse
import copy
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.terminal import Progress, table
from benchmarks import machine
from compiler.quiet import never
from data.errors import UsageError, exit_status_of
from data.tasks import load_task
from engine.encoder import Encoder
from engine.hardware import mixed_precision, training_device
from engine.pace import silent
from engine.problem import Problem
from engine.student import cut, student_of
from engine.teacher import load_teacher
from engine.tokens import Row, collate
from engine.training import (
    BATCH_ROWS,
    GRADIENT_NORM,
    HEAD_LEARNING_RATE,
    WARMUP_SHARE,
    WEIGHT_DECAY,
    Examples,
    Recipe,
    predict,
    train,
)

OURS = "ours"
TRAINERS = {"Trainer": "random", "Trainer, by length": "group_by_length"}  # its sampling strategies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="stsb")
    parser.add_argument("--teacher", default="minilm")
    parser.add_argument("--architecture", default="L3-H384-A12-F1152", help="cut from the teacher")
    parser.add_argument("--rows", type=int, help="of the training split; by default all")
    parser.add_argument("--dev-rows", type=int, help="scored; by default all")
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch; by default all cores")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("training", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: unknown task or teacher; accelerate is missing.
    """
    if importlib.util.find_spec("accelerate") is None:
        raise UsageError("transformers.Trainer needs the package accelerate: pip install accelerate")
    if options.threads:
        torch.set_num_threads(options.threads)
    progress, kept = Progress(), _kept(options.json)
    teacher = load_teacher(options.teacher)
    problem = Problem(load_task(options.task), teacher.tokenizer, options.seq_len)
    split = problem.split("final")
    scored = replace(
        split, scored_rows=split.scored_rows[: options.dev_rows], scored_labels=split.scored_labels[: options.dev_rows]
    )
    rows = split.examples.rows[: options.rows]
    examples = Examples(rows, split.examples.labels[: options.rows])
    body = cut(teacher.encoder, student_of(options.architecture, teacher.architecture), collate(rows[:32], problem.pad))[0]
    ways = _ways()
    for number in range(options.rounds):
        if number == len(kept):
            kept.append({})
        for name, way in ways.items():
            if name in kept[number]:
                continue
            progress.log(f"round {number + 1}: {name}")
            encoder = Encoder(body.architecture, problem.outputs, problem.pooling, seed=number)
            encoder.load_state_dict(body.state_dict(), strict=False)
            busy_before = time.process_time()
            seconds = way(encoder, examples, problem, Recipe(options.epochs, seed=number))
            cpu_s = time.process_time() - busy_before
            score = next(iter(problem.score(scored, predict(encoder, scored.scored_rows, problem.pad, never)).values()))
            kept[number][name] = {
                "seconds": seconds,
                "cpu_s": cpu_s,
                "rows_per_s": options.epochs * len(rows) / seconds,
                "score": score,
            }
            machine.keep(_report(options, len(rows), kept), options.json)
    progress.close()
    print(render(_report(options, len(rows), kept)))


def _ways() -> dict[str, Callable[[Encoder, Examples, Problem, Recipe], float]]:
    ways: dict[str, Callable[[Encoder, Examples, Problem, Recipe], float]] = {OURS: _train}
    for name, strategy in TRAINERS.items():
        ways[name] = partial(_train_by_trainer, strategy=strategy)
    return ways


def _train(encoder: Encoder, examples: Examples, problem: Problem, recipe: Recipe) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        train(encoder, examples, recipe, problem.heads, problem.pad, Path(scratch) / "checkpoint", silent, never)
        return time.perf_counter() - start


class _WithLoss(nn.Module):
    """An encoder as Trainer takes it. Labels of a regression are learned as numbers from 0 to 1, as ours are."""

    def __init__(self, encoder: Encoder, regression: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.regression = regression

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with mixed_precision(training_device()):
            outputs = self.encoder(input_ids, token_type_ids, attention_mask).float()
        loss = functional.mse_loss(outputs[:, 0], labels) if self.regression else functional.cross_entropy(outputs, labels)
        return {"loss": loss, "logits": outputs}


def _train_by_trainer(encoder: Encoder, examples: Examples, problem: Problem, recipe: Recipe, strategy: str) -> float:
    from transformers import Trainer, TrainingArguments

    regression = problem.task.kind == "regression"
    low, high = float(examples.labels.min()), float(examples.labels.max())
    labels = (examples.labels - low) / (high - low) if regression else examples.labels
    model = _WithLoss(encoder, regression)
    encoder.embeddings.word_embeddings.requires_grad_(False)
    assert encoder.classifier is not None
    if regression:
        nn.init.constant_(encoder.classifier.bias, float(labels.mean()))
    rate = recipe.learning_rate * 384 / encoder.architecture.hidden_size
    head = list(encoder.classifier.parameters())
    body = [value for value in encoder.parameters() if value.requires_grad and all(value is not each for each in head)]
    groups: list[dict[str, Any]] = [{"params": body}, {"params": head, "lr": rate * HEAD_LEARNING_RATE}]
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=WEIGHT_DECAY, fused=True)
    steps = recipe.epochs * -(-len(examples.rows) // BATCH_ROWS)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=BATCH_ROWS,
            num_train_epochs=recipe.epochs,
            max_grad_norm=GRADIENT_NORM,
            warmup_steps=round(WARMUP_SHARE * steps),
            train_sampling_strategy=strategy,
            seed=recipe.seed,
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=training_device().type == "cpu",
        )
        data = [
            {"input_ids": row.ids, "token_type_ids": row.type_ids, "labels": label}
            for row, label in zip(examples.rows, labels, strict=True)
        ]
        trainer = Trainer(model, arguments, _collator(problem.pad), data, optimizers=(optimizer, None))
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    with torch.no_grad():
        encoder.classifier.weight.mul_((high - low) if regression else 1.0)
        encoder.classifier.bias.mul_((high - low) if regression else 1.0).add_(low if regression else 0.0)
    encoder.to("cpu").eval()
    return seconds


def _collator(pad: int) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]:
    def collated(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch = collate([Row(row["input_ids"], row["token_type_ids"]) for row in rows], pad)
        return {**batch._asdict(), "labels": torch.stack([row["labels"] for row in rows])}

    return collated


def _kept(path: Path | None) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["rounds"] if path and path.exists() else []


def _report(options: argparse.Namespace, rows: int, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("task", "teacher", "architecture", "seq_len", "epochs")
    facts = machine.facts(("torch", "transformers", "accelerate"))
    asked = {name: getattr(options, name) for name in names}
    return {**facts, **asked, "rows": rows, "threads": torch.get_num_threads(), "rounds": copy.deepcopy(rounds)}


def render(report: Mapping[str, Any]) -> str:
    lines = []
    for name in report["rounds"][0]:
        found = [each[name] for each in report["rounds"]]
        ratios = [each[OURS]["rows_per_s"] / each[name]["rows_per_s"] for each in report["rounds"]]
        cpu_ratios = [each[name]["cpu_s"] / each[OURS]["cpu_s"] for each in report["rounds"]]
        lines.append(
            [
                name,
                f"{median(each['rows_per_s'] for each in found):.1f}",
                f"{median(ratios):.2f}",
                f"{median(cpu_ratios):.2f}",
                f"{fmean(each['score'] for each in found):.4f}",
                " ".join(f"{each['score']:.4f}" for each in found),
            ]
        )
    title = (
        f"{report['architecture']} on {report['rows']} rows of {report['task']}, {report['epochs']} epochs, {report['threads']} threads, "
        f"{len(report['rounds'])} rounds (seeds)"
    )
    return f"{title}\n{table(['', 'rows/s, median', 'ours is faster by', 'by processor time', 'dev score, mean', 'by seed'], lines)}"


if __name__ == "__main__":
    main()
