"""`pocketformer teacher`: a teacher fine-tuned on a task, and its score: what students are held against."""

from argparse import Namespace
from typing import Any

from app.terminal import Progress, table
from compiler.quiet import never
from data.errors import UsageError


def run(args: Namespace) -> dict[str, Any]:
    if args.seq_len < 1:
        raise UsageError(f"--seq-len {args.seq_len}: give at least 1")
    from data.tasks import load_task
    from engine.problem import Problem
    from engine.teacher import load_teacher
    from engine.tuned_teacher import TEACHER_EPOCHS, tuned_teacher

    progress = Progress()
    progress.log(f"reading task {args.task} and teacher {args.teacher}")
    task, teacher = load_task(args.task), load_teacher(args.teacher)
    problem = Problem(task, teacher.tokenizer, args.seq_len)
    told = -1

    def tell(message: str, fraction: float, data: dict[str, Any]) -> None:
        nonlocal told
        if (share := int(fraction * 100)) != told:
            told = share
            progress.log(f"{message}: {share} of 100 %")

    tuned = tuned_teacher(teacher, problem, args.seed, tell, never)
    return {
        "task": args.task,
        "teacher": args.teacher,
        "architecture": str(teacher.architecture),
        "metrics": dict(tuned.metrics),
        "split": "dev",
        "epochs": TEACHER_EPOCHS,
        "seed": args.seed,
        "seconds": tuned.seconds,
    }


def render(result: dict[str, Any]) -> str:
    rows = [(name, f"{value:.4f} on {result['split']}") for name, value in result["metrics"].items()]
    rows += [("trained for", f"{result['epochs']} epochs, {result['seconds']:.0f} s, seed {result['seed']}")]
    return table(("", f"{result['teacher']} ({result['architecture']}) on {result['task']}"), rows)
