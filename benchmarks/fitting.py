"""What fitting a cut student by least squares is worth: `python -m benchmarks.fitting --architecture L3-H256-A8-F1024-E384 [--json FILE]`.

A student is cut from the teacher, and cut and fitted (`engine.fitting`); both are distilled on the same tokens. At each stage: the share of
the variance of the teacher's last hidden states that the student misses, on rows that nothing was fitted on, and, where the task is a regression on
pairs, how the cosine of the two sentences' mean vectors correlates with the dev labels, without any training on the task.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.terminal import Progress, table
from benchmarks import machine
from compiler.quiet import never
from data.errors import exit_status_of
from engine.distillation import distil
from engine.encoder import Encoder, mean_of_tokens
from engine.ground import Ground
from engine.losses import feature_map_transfer
from engine.pace import silent
from engine.settings import Settings
from engine.student import student_of
from engine.tokens import Batch, collate

HELD_OUT_CHUNK = 1_000_000  # of the corpus: no distillation gets there
HELD_OUT_TOKENS = 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="stsb")
    parser.add_argument("--teacher", default=Settings.teacher)
    parser.add_argument("--text", help="unlabelled text")
    parser.add_argument("--architecture", default="L3-H256-A8-F1024-E384")
    parser.add_argument("--tokens", type=int, default=40_000, help="of the distillation afterwards; 0: none")
    parser.add_argument("--dev-rows", type=int, help="scored; by default all")
    parser.add_argument("--ridge", type=float, help="of the fit, of the mean square of its inputs")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("fitting", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: unknown task, teacher or text, or a student that is no cut of the teacher.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    progress = Progress()
    settings = Settings(task=options.task, teacher=options.teacher, text=options.text, distil_tokens=options.tokens)
    ground = Ground(settings)
    architecture = student_of(options.architecture, ground.teacher.architecture)
    teacher, scale = ground.teacher.encoder, _Scale(ground, options.dev_rows)
    rows: list[dict[str, Any]] = [{"student": "teacher", "tokens": 0, "seconds": 0.0, **scale.of(teacher, None)}]
    report = {**machine.facts(("torch",)), **vars(options), "json": None, "rows": rows}
    for name in ("cut", "cut and fitted"):
        start = time.perf_counter()
        with _ridge(options.ridge):
            encoder, projection = ground.distiller.cut(architecture, fitted=name != "cut")
        for tokens in sorted({0, options.tokens}):
            if tokens:
                plan = dataclasses.replace(ground.plan, tokens=tokens, seconds=1e9, ffn_choices=())
                with tempfile.TemporaryDirectory() as scratch:
                    kept = Path(scratch) / "checkpoint"
                    distil(ground.teacher, encoder, projection, ground.distiller.corpus, plan, kept, silent, never)
            seconds = time.perf_counter() - start
            rows.append({"student": name, "tokens": tokens, "seconds": seconds, **scale.of(encoder, projection)})
            progress.log(f"{name}, {tokens} tokens: {rows[-1]}")
            machine.keep(report, options.json)
    progress.close()
    print(render(report))


@contextmanager
def _ridge(value: float | None) -> Iterator[None]:
    from engine import fitting

    before = fitting.RIDGE
    fitting.RIDGE = before if value is None else value
    try:
        yield
    finally:
        fitting.RIDGE = before


class _Scale:
    """What students are held against."""

    def __init__(self, ground: Ground, dev_rows: int | None) -> None:
        self.teacher, problem = ground.teacher.encoder, ground.problem
        batches = ground.distiller.corpus.batches(0, HELD_OUT_CHUNK, HELD_OUT_TOKENS // 3)
        self.held_out = [collate(rows, problem.pad) for rows in batches[:3]]
        self.problem = problem if problem.task.kind == "regression" and problem.pooling == "pair" else None
        split = problem.split("final")
        self.split = dataclasses.replace(
            split, scored_rows=split.scored_rows[:dev_rows], scored_labels=split.scored_labels[:dev_rows]
        )

    @torch.no_grad()
    def of(self, student: Encoder, projection: nn.Linear | None) -> dict[str, Any]:
        missed = sum(self._missed(student, projection, batch) for batch in self.held_out) / len(self.held_out)
        if self.problem is None:
            return {"missed": missed, "cosine": None}
        rows = self.split.scored_rows
        found = torch.zeros(len(rows), 1)
        for indices in torch.tensor(sorted(range(len(rows)), key=lambda index: len(rows[index].ids))).split(32):
            batch = collate([rows[index] for index in indices], self.problem.pad)
            found[indices, 0] = _cosine(_hidden(student, projection, batch), batch)
        return {"missed": missed, "cosine": next(iter(self.problem.score(self.split, found).values()))}

    def _missed(self, student: Encoder, projection: nn.Linear | None, batch: Batch) -> float:
        theirs = self.teacher.features(*batch).hidden[-1]
        variance = theirs[batch.attention_mask.bool()].var(dim=0).mean()
        return float(feature_map_transfer(_hidden(student, projection, batch), theirs, batch.attention_mask) / variance)


def _hidden(student: Encoder, projection: nn.Linear | None, batch: Batch) -> Tensor:
    hidden = student.features(*batch).hidden[-1]
    return hidden if projection is None else projection(hidden)


def _cosine(hidden: Tensor, batch: Batch) -> Tensor:
    mask, second = batch.attention_mask.float(), batch.token_type_ids.float()
    u, v = mean_of_tokens(hidden, mask * (1 - second)), mean_of_tokens(hidden, mask * second)
    return torch.cosine_similarity(u, v)


def render(report: Mapping[str, Any]) -> str:
    rows = [
        [
            row["student"],
            f"{row['tokens']:,}",
            f"{row['missed']:.3f}",
            None if row["cosine"] is None else f"{row['cosine']:.4f}",
            f"{row['seconds']:.1f}",
        ]
        for row in report["rows"]
    ]
    header = ["", "distilled on", "variance missed", "cosine, dev Pearson", "seconds"]
    return f"{report['architecture']}\n{table(header, rows)}"


if __name__ == "__main__":
    main()
