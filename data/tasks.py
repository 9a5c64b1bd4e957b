"""What a model is to learn: tasks of GLUE, tasks that the project generates, and a user's own files, all in one form.

Reading a task brings in `datasets`; naming, listing and checking tasks does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import TaskError

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TaskInfo:
    """A task that has a name: what it asks, and the main metric."""

    name: str
    description: str
    metric: str


@dataclass(frozen=True)
class Task:
    """A data set of single sentences or pairs.

    `train` and `dev` have the columns `text_a` and `text_b` (strings; `text_b` is None where sentences stand alone) and
    `label`: a class number from 0, or for regression a real number. `dev` is never to be chosen by.
    """

    name: str
    kind: str  # 'classification' or 'regression'
    text_columns: int  # 1 or 2
    label_names: tuple[str, ...]  # in the order of class numbers; none for regression
    metric: str  # the main metric
    train: "Dataset"
    dev: "Dataset"

    @property
    def outputs(self) -> int:
        """How many numbers a model answers: one for each class, or one."""
        return len(self.label_names) or 1

    @property
    def parts(self) -> "tuple[Task, ...]":
        """The tasks that it is made of: itself alone."""
        return (self,)

    @property
    def columns(self) -> list[slice]:
        """Which of the outputs answer each part."""
        return spans([part.outputs for part in self.parts])


@dataclass(frozen=True)
class JointTask(Task):
    """Several tasks for one model, which answers them side by side: its outputs are theirs in turn. `train` and `dev` have the rows of all,
    one task after the other; `kind` is 'joint' and `metric` the mean of the main metrics."""

    tasks: tuple[Task, ...]

    @property
    def outputs(self) -> int:
        return sum(task.outputs for task in self.tasks)

    @property
    def parts(self) -> tuple[Task, ...]:
        return self.tasks


def spans(counts: Sequence[int]) -> list[slice]:
    """Where each of several lists stands, that are put one after the other."""
    return [slice(end - count, end) for end, count in zip(accumulate(counts), counts, strict=True)]


JOINT, MEAN = "joint", "mean"
NAMED = (
    TaskInfo("paraphrase", "Do two sentences mean the same? Generated here from a grammar; needs no download.", "f1"),
    TaskInfo("acceptability", "Is a sentence well formed? Generated here from a grammar; needs no download.", "matthews"),
    TaskInfo("stsb", "GLUE STS-B: how alike are two sentences?", "pearson"),
    TaskInfo("mrpc", "GLUE MRPC: do two sentences of the news mean the same?", "f1"),
    TaskInfo("rte", "GLUE RTE: does one text follow from the other?", "accuracy"),
    TaskInfo("sst2", "GLUE SST-2: is a review of a film good or bad?", "accuracy"),
    TaskInfo("cola", "GLUE CoLA: is a sentence acceptable English?", "matthews"),
)


def task_names() -> list[TaskInfo]:
    """The tasks that have names, those that need no download first."""
    return list(NAMED)


def load_task(name: str) -> Task:
    """The data set of a task.

    Args:
        name: one of `task_names()`; or a file or folder with its columns, `reviews.csv?text=body&label=stars`, with
            `&pair=COLUMN` for the second text and `&kind=regression` where labels are numbers to be predicted; or several of these,
            separated by commas, for one model.

    Raises:
        TaskError: nothing of that name, or its files do not make a data set.
    """
    names = part_names(name)
    if len(names) > 1:
        return _joint([load_task(each) for each in names])
    if name in ("acceptability", "paraphrase"):
        return _generated(name)
    if name in {info.name for info in NAMED}:
        from data.glue import load_glue

        return load_glue(name)
    from data.own_task import load_own

    return load_own(name)


def part_names(name: str) -> list[str]:
    """The names in a list with commas, where it is one: a file's own name may have commas too."""
    if "," not in name:
        return [name]
    names = [each.strip() for each in name.split(",")]
    known = {info.name for info in NAMED}
    is_list = any(each in known for each in names) or all(Path(each.partition("?")[0]).expanduser().exists() for each in names)
    return names if is_list else [name]


def short_name(name: str) -> str:
    """For names of files: `stsb+reviews` of `stsb,/data/reviews.csv?text=body&label=stars`."""
    return "+".join(Path(each.partition("?")[0]).stem for each in part_names(name))


def evaluate(
    task: Task, predictions: "NDArray", labels: "Sequence[float] | None" = None, counts: Sequence[int] | None = None
) -> dict[str, float]:
    """A model's answers, held against the labels of `dev` or those given: the main metric first, all in [0, 1].

    Args:
        predictions: for classification [n, classes] scores, or [n] class numbers; for regression [n] or [n, 1]; of a joint task [n, outputs].
        counts: where labels of a joint task are given, how many are each part's.
    """
    import numpy as np

    from data.metrics import score

    if isinstance(task, JointTask):
        return _evaluate_parts(task, np.asarray(predictions), labels, counts or [len(part.dev) for part in task.parts])

    answers = np.asarray(predictions)
    if answers.ndim == 2:
        answers = answers[:, 0] if task.kind == "regression" else np.nan_to_num(answers, nan=-np.inf).argmax(axis=1)
    return score(task.metric, labels if labels is not None else task.dev["label"], answers)


def _evaluate_parts(
    task: JointTask, predictions: "NDArray", labels: "Sequence[float] | None", counts: Sequence[int]
) -> dict[str, float]:
    """Each part's own metrics under its name, after the mean of the main ones."""
    return _joined(
        task,
        [
            evaluate(part, predictions[rows, columns], None if labels is None else labels[rows])
            for part, rows, columns in zip(task.parts, spans(counts), task.columns, strict=True)
        ],
    )


def _joined(task: JointTask, scores: Sequence[dict[str, float]]) -> dict[str, float]:
    parts = [(short_name(part.name), each) for part, each in zip(task.parts, scores, strict=True)]
    mean = sum(next(iter(each.values())) for each in scores) / len(scores)
    return {MEAN: mean, **{f"{name} {metric}": value for name, each in parts for metric, value in each.items()}}


def chance(task: Task, labels: "Sequence[float]") -> dict[str, float]:
    """What one and the same answer to every row can reach, in each metric. Labels of a joint task are those of all its training rows."""
    import numpy as np

    if isinstance(task, JointTask):
        rows = spans([len(part.train) for part in task.parts])
        return _joined(task, [chance(part, labels[own]) for part, own in zip(task.parts, rows, strict=True)])
    answers = [np.full(len(labels), each) for each in range(len(task.label_names))] or [np.zeros(len(labels))]
    scores = [evaluate(task, each, labels) for each in answers]
    return {name: max(each[name] for each in scores) for name in scores[0]}


def make_split(
    text_a: Sequence[str], text_b: Sequence[str] | None, label: Sequence[Any], regression: bool = False
) -> "Dataset":
    """A split of a task from its columns."""
    from datasets import Dataset, Features, Value

    features = Features(
        {"text_a": Value("string"), "text_b": Value("string"), "label": Value("float32" if regression else "int64")}
    )
    rows = {"text_a": list(text_a), "text_b": [None] * len(text_a) if text_b is None else list(text_b), "label": list(label)}
    return Dataset.from_dict(rows, features=features)


def _joint(tasks: Sequence[Task]) -> JointTask:
    """
    Raises:
        TaskError: two of them have one name.
    """
    from datasets import concatenate_datasets

    names = [short_name(task.name) for task in tasks]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise TaskError(f"'{twice[0]}' is there twice; name different tasks")
    labels = tuple(
        f"{name}: {label}" for name, task in zip(names, tasks, strict=True) for label in task.label_names or ("score",)
    )
    columns = max(task.text_columns for task in tasks)
    train, dev = (
        concatenate_datasets([make_split(part["text_a"], part["text_b"], part["label"], regression=True) for part in parts])
        for parts in ([task.train for task in tasks], [task.dev for task in tasks])
    )
    return JointTask(",".join(task.name for task in tasks), JOINT, columns, labels, MEAN, train, dev, tuple(tasks))


def _generated(name: str) -> Task:
    from data import generated

    train, dev = generated.acceptability() if name == "acceptability" else generated.paraphrase()
    labels = ("unacceptable", "acceptable") if name == "acceptability" else ("different", "paraphrase")
    metric = next(info.metric for info in NAMED if info.name == name)
    columns = 1 if train.text_b is None else 2
    return Task(name, "classification", columns, labels, metric, make_split(*train), make_split(*dev))


def unknown_task(name: str) -> TaskError:
    """The error for a name that is neither a task nor a file."""
    names = ", ".join(info.name for info in NAMED)
    return TaskError(f"unknown task '{name}'; take {names}, or a file with its columns: reviews.csv?text=body&label=stars")
