"""What distillation is worth: `python -m benchmarks.distill --tasks stsb,mrpc [--architecture A] [--text FILES] [--json FILE]`.

The same student, cut from the teacher, is fine-tuned on each task with and without distillation, with several seeds, beside the teacher
fine-tuned itself; all are scored on the dev split (CANAO Table 3 reports 3 to 4 points between the two). Interrupted, it goes on with the same
arguments: what is trained is kept under the state folder, and the report is written anew after each part.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.terminal import Progress, table
from benchmarks import machine
from data.errors import exit_status_of
from data.home import subfolder
from data.tasks import short_name
from engine.architecture import Architecture
from engine.settings import Settings

TEACHER_EPOCHS = 2

PARTS = ("teacher", "distilled", "plain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="stsb,mrpc,rte,cola", help="separated by commas")
    parser.add_argument("--teacher", default=Settings.teacher)
    parser.add_argument(
        "--architecture", default="L3-H384-A12-F1152", help="of the student; the default has under half the teacher's FLOPs"
    )
    parser.add_argument("--text", help="unlabelled text to distil on, beside the task's own sentences")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=Settings.final_epochs)
    parser.add_argument("--seq-len", type=int, default=Settings.seq_len)
    parser.add_argument("--distil-tokens", type=int, default=Settings.distil_tokens)
    parser.add_argument("--distil-seconds", type=int, default=Settings.distil_seconds)
    parser.add_argument("--losses", default=",".join(Settings.losses), help="of the distilled student: hidden,attention,logits")
    parser.add_argument("--teacher-epochs", type=int, default=TEACHER_EPOCHS)
    parser.add_argument("--parts", default=",".join(PARTS), help="those to do now; the report has what is done")
    parser.add_argument("--threads", type=int, help="of torch; by default all cores")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("distill", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: unknown task, teacher or text, or a student that is no cut of the teacher.
    """
    import torch

    from engine.student import student_of
    from engine.teacher import teacher_architecture

    if options.threads:
        torch.set_num_threads(options.threads)
    progress, tasks = Progress(), dict[str, Any]()
    student = student_of(options.architecture, teacher_architecture(options.teacher))
    names = ("teacher", "text", "seq_len", "distil_tokens", "distil_seconds")
    shared = {name: getattr(options, name) for name in names}
    report = {**machine.facts(("torch",)), **vars(options), "json": None, "tasks": tasks}
    for task in options.tasks.split(","):
        settings = Settings(
            task=task,
            **shared,
            losses=tuple(options.losses.split(",")),
            final_epochs=options.epochs,
            final_seeds=options.seeds,
            depths=(student.layers,),
            hidden_sizes=(student.hidden_size,),
            ffn_sizes=tuple(sorted(set(student.ffn_sizes))),
        )
        tasks[task] = {}
        for part in options.parts.split(","):
            progress.log(f"{task}: {part}")
            if part == "teacher":
                tasks[task][part] = _teacher(settings, options.teacher_epochs, progress)
            else:
                tasks[task][part] = _student(student, settings, part, progress)
            machine.keep(report, options.json)
    progress.close()
    print(render(report))


def _teacher(settings: Settings, epochs: int, progress: Progress) -> dict[str, Any]:
    from engine.candidates import spread
    from engine.ground import ground_of
    from engine.tuned_teacher import tuned_teacher

    ground = ground_of(settings)
    tuned = tuned_teacher(ground.teacher, ground.problem, settings.seed, _telling(progress), lambda: False, epochs)
    metrics = {name: spread([value]) for name, value in tuned.metrics.items()}
    return {"metrics": metrics, "by_seed": [dict(tuned.metrics)], "fine_tuning_s": tuned.seconds}


def _student(student: Architecture, settings: Settings, part: str, progress: Progress) -> dict[str, Any]:
    from engine.candidates import evaluate_candidate, spread

    if part == "plain":
        settings = dataclasses.replace(settings, losses=())
    workdir = subfolder("scratch") / f"distill-{short_name(settings.task)}-{part}" / str(student)
    found = evaluate_candidate(student, settings, stage="final", workdir=workdir, progress=_telling(progress))
    metrics = {name: spread([each[name] for each in found.metrics_by_seed]) for name in found.metrics}
    return {"metrics": metrics, "by_seed": [dict(each) for each in found.metrics_by_seed], "fine_tuning_s": found.seconds}


def _telling(progress: Progress) -> Any:
    def tell(message: str, fraction: float | None = None, data: Mapping[str, Any] | None = None) -> None:
        progress.bar(message, fraction or 0.0)

    return tell


def render(report: Mapping[str, Any]) -> str:
    rows = []
    for task, found in report["tasks"].items():
        for metric in next(iter(found.values()))["metrics"]:
            scores = [found[part]["metrics"][metric] if part in found else None for part in PARTS]
            teacher, distilled, plain = (score["mean"] if score else None for score in scores)
            rows.append(
                [task, metric, *(_shown(score) for score in scores), _points(distilled, teacher), _points(distilled, plain)]
            )
    header = ["task", "dev metric", *PARTS, "to teacher", "to plain"]
    title = (
        f"{report['architecture']}, {report['epochs']} epochs (the teacher: {report['teacher_epochs']}), {report['losses']}, "
        f"distilled on {report['distil_tokens']:,} tokens twice: as a trunk, then alone"
    )
    return f"{title}\n{table(header, rows)}"


def _shown(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return ""
    deviation = "" if score["deviation"] is None else f" ± {score['deviation']:.4f}"
    return f"{score['mean']:.4f}{deviation}"


def _points(mean: float | None, other: float | None) -> str:
    return "" if mean is None or other is None else f"{100 * (mean - other):+.1f}"


if __name__ == "__main__":
    main()
