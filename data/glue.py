"""GLUE from a folder of its TSV files (`POCKETFORMER_GLUE_DIR`), else from the Hugging Face hub."""

import csv
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from data.errors import TaskError
from data.tasks import NAMED, Task, make_split

HUB_ID = "nyu-mll/glue"
HUB_TIMEOUT_S = 5


@dataclass(frozen=True)
class Format:
    """Where a task's columns are: in the folder's TSV files, by header name or, where there is no header, by number; on the hub."""

    folder: str
    text: tuple[str | int, ...]
    label: str | int
    hub_text: tuple[str, ...]
    label_names: tuple[str, ...] = ()  # as written in a file where words stand for classes
    display: tuple[str, ...] = ()
    scale: float = 1.0


FORMATS = {
    "cola": Format("CoLA", (3,), 1, ("sentence",), ("0", "1"), ("unacceptable", "acceptable")),
    "mrpc": Format(
        "MRPC", ("#1 String", "#2 String"), "Quality", ("sentence1", "sentence2"), ("0", "1"), ("different", "paraphrase")
    ),
    "rte": Format("RTE", ("sentence1", "sentence2"), "label", ("sentence1", "sentence2"), ("entailment", "not_entailment")),
    "sst2": Format("SST-2", ("sentence",), "label", ("sentence",), ("0", "1"), ("negative", "positive")),
    "stsb": Format("STS-B", ("sentence1", "sentence2"), "score", ("sentence1", "sentence2"), scale=5.0),  # scores from 0 to 5
}

Columns = tuple[list[str], list[str] | None, list[float]]


def load_glue(name: str) -> Task:
    """A GLUE task with its official metric. Class numbers are the hub's; STS-B's labels are divided by 5.

    Raises:
        TaskError: the folder lacks the task or a line of it is damaged; the hub cannot be reached.
    """
    form = FORMATS[name]
    folder = os.environ.get("POCKETFORMER_GLUE_DIR")
    if folder:
        root = Path(folder).expanduser() / form.folder
        splits = [_read(root / f"{split}.tsv", form) for split in ("train", "dev")]
    else:
        splits = _download(name, form)
    regression = not form.label_names
    train, dev = (make_split(*split, regression=regression) for split in splits)
    metric = next(info.metric for info in NAMED if info.name == name)
    return Task(
        name,
        "regression" if regression else "classification",
        len(form.text),
        form.display or form.label_names,
        metric,
        train,
        dev,
    )


def _read(path: Path, form: Format) -> Columns:
    """The columns of one file. Quotes are text there, and some files start with a byte order mark."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        raise TaskError(
            f"there is no {path}; POCKETFORMER_GLUE_DIR is to hold CoLA, MRPC, RTE, SST-2 and STS-B with train.tsv and dev.tsv"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"cannot read {path}: {error}") from None
    first = 0
    wanted: list[int] = []
    for column in (*form.text, form.label):
        if isinstance(column, int):
            wanted.append(column)
        else:
            first = 1
            if not rows or column not in rows[0]:
                raise TaskError(f"{path} has no column '{column}'; is it GLUE's {form.folder}?")
            wanted.append(rows[0].index(column))
    texts: list[list[str]] = [[] for _ in form.text]
    labels: list[float] = []
    for number, row in enumerate(rows[first:], start=first + 1):
        try:
            *parts, label = (row[column].strip() for column in wanted)
            labels.append(form.label_names.index(label) if form.label_names else float(label) / form.scale)
        except (IndexError, ValueError):
            raise TaskError(f"line {number} of {path} is damaged; take the file anew from gluebenchmark.com") from None
        if not form.label_names and not 0 <= labels[-1] <= 1:
            raise TaskError(f"line {number} of {path} has the score {label}; {form.folder}'s go from 0 to {form.scale:g}")
        for text, part in zip(texts, parts, strict=True):
            text.append(part)
    if not labels:
        raise TaskError(f"{path} is empty; take the file anew from gluebenchmark.com")
    return texts[0], texts[1] if len(texts) == 2 else None, labels


def _download(name: str, form: Format) -> list[Columns]:
    """The columns from the hub, or with `HF_HUB_OFFLINE` from its cache on this machine."""
    import datasets

    instead = "set POCKETFORMER_GLUE_DIR to a folder of GLUE's files, or take a task that needs no download: paraphrase, acceptability"
    if not datasets.config.HF_HUB_OFFLINE and not _reachable(datasets.config.HF_ENDPOINT):
        raise TaskError(f"GLUE's {form.folder} is not here and {datasets.config.HF_ENDPOINT} cannot be reached; {instead}")
    try:
        found = datasets.load_dataset(HUB_ID, name)
    except Exception as error:  # the hub's client raises errors of half a dozen libraries
        raise TaskError(f"GLUE's {form.folder} cannot be read from the hub ({type(error).__name__}); {instead}") from None
    return [
        (
            list(split[form.hub_text[0]]),
            list(split[form.hub_text[1]]) if len(form.hub_text) == 2 else None,
            [label / form.scale for label in split["label"]] if not form.label_names else list(split["label"]),
        )
        for split in (found["train"], found["validation"])
    ]


def _reachable(url: str) -> bool:
    """Whether anything answers there: the hub's own client would try for minutes."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=HUB_TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
