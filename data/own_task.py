"""A user's own data as a task: a CSV, TSV or Parquet file, or a folder with `train` and `dev` files, and the columns to take."""

import csv
import hashlib
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from data.errors import TaskError
from data.tasks import Task, make_split, unknown_task

SUFFIXES = (".csv", ".tsv", ".parquet")
DEV_SHARE = 0.15  # of the rows, where there is no dev file
LEAST_ROWS = 20
MOST_LABELS = 1000
_KINDS = ("classification", "regression")
_EXAMPLE = "reviews.csv?text=body&label=stars"


@dataclass(frozen=True)
class Options:
    """Which columns to read, and what the labels are."""

    text: str
    label: str
    pair: str = ""
    kind: str = "classification"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in (self.text, self.pair, self.label) if name)


def file_and_options(name: str) -> tuple[Path, Options]:
    """A task's name taken apart: `reviews.csv?text=body&label=stars&pair=title&kind=regression`.

    Raises:
        TaskError: no such file or folder, or its options are not these.
    """
    location, question, query = name.partition("?")
    path = Path(location).expanduser()
    looks_like_file = bool(question) or path.suffix.lower() in SUFFIXES or "/" in location
    if not path.exists():
        raise (
            TaskError(f"there is no file {location}; give the path of a CSV, TSV or Parquet file")
            if looks_like_file
            else unknown_task(name)
        )
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        raise TaskError(
            f"{location} is not a task file; give a {', '.join(SUFFIXES)} file, or a folder with train and dev files"
        )
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(given) - {"text", "label", "pair", "kind"})
    if unknown:
        raise TaskError(f"'{unknown[0]}' is not an option of a task file; there are text, label, pair and kind: {_EXAMPLE}")
    if not given.get("text") or not given.get("label"):
        raise TaskError(f"say which columns of {path.name} hold the text and the label: {path.name}?text=COLUMN&label=COLUMN")
    if given.get("kind", _KINDS[0]) not in _KINDS:
        raise TaskError(f"kind={given['kind']} is not known; take {' or '.join(_KINDS)}")
    options = Options(**given)
    if len(set(options.columns)) != len(options.columns):
        raise TaskError(f"text, pair and label are to be different columns of {path.name}")
    return path, options


def load_own(name: str) -> Task:
    """The data set of a user's file. Without a dev file, every seventh row or so is held out, the same ones each time.

    Raises:
        TaskError: the file, its columns or its rows do not make a data set; the message says which and where.
    """
    path, options = file_and_options(name)
    files = _files(path)
    splits = [_rows(file, options) for file in files]
    pairs = bool(options.pair)
    if options.kind == "regression":
        labels: tuple[str, ...] = ()
        for file, rows in zip(files, splits, strict=True):
            _check_numbers(file, rows, options)
    else:
        labels = _label_names(splits[0], path, options)
        if len(splits) == 2:
            _check_known(files[1], splits[1], labels)
    if len(splits) == 1:
        splits = _held_out(splits[0])
    number = (
        {label: float(label) for rows in splits for *_, label in rows}
        if not labels
        else {label: i for i, label in enumerate(labels)}
    )
    train, dev = (
        make_split(
            [row[0] for row in rows],
            [row[1] for row in rows] if pairs else None,
            [number[row[-1]] for row in rows],
            regression=not labels,
        )
        for rows in splits
    )
    metric = "pearson" if not labels else "accuracy"
    return Task(name, options.kind, 2 if pairs else 1, labels, metric, train, dev)


Row = tuple[str, ...]  # the text, its pair where there is one, the label


def _files(path: Path) -> list[Path]:
    """The file itself, or of a folder its train and, where there is one, dev file."""
    if path.is_file():
        return [path]
    found = []
    for split in ("train", "dev"):
        files = [path / f"{split}{suffix}" for suffix in SUFFIXES if (path / f"{split}{suffix}").is_file()]
        if len(files) > 1:
            raise TaskError(f"{path} has both {files[0].name} and {files[1].name}; leave one")
        if not files and split == "train":
            raise TaskError(
                f"{path} has no train.csv, train.tsv or train.parquet; give a folder with train and dev files, or one file"
            )
        found += files
    return found


def _rows(path: Path, options: Options) -> list[Row]:
    """The rows of a file, its texts and labels stripped of white space around them."""
    names, table = _parquet(path, options) if path.suffix.lower() == ".parquet" else _separated(path)
    missing = [column for column in options.columns if column not in names]
    if missing:
        raise TaskError(f"{path.name} has no column '{missing[0]}'; its columns are {', '.join(names[:30])}")
    wanted = [names.index(column) for column in options.columns]
    rows = []
    for number, values in enumerate(table, start=1):
        if len(values) != len(names):
            raise TaskError(
                f"row {number} of {path.name} has {len(values)} values for {len(names)} columns; mend its quotes or separators"
            )
        row = tuple(_text(values[column]) for column in wanted)
        for column, value in zip(options.columns, row, strict=True):
            if not value:
                raise TaskError(f"row {number} of {path.name} has nothing in column '{column}'; fill it or remove the row")
        rows.append(row)
    if len(rows) < LEAST_ROWS:
        raise TaskError(f"{path.name} has {len(rows)} rows; at least {LEAST_ROWS} are needed")
    return rows


def _separated(path: Path) -> tuple[list[str], Sequence[Sequence[Any]]]:
    """Header and rows of a CSV or TSV file; empty lines are skipped."""
    csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            names, *rows = [row for row in reader if row] or [[]]
    except UnicodeDecodeError:
        raise TaskError(f"{path.name} is not UTF-8 text; save it as UTF-8") from None
    except (OSError, csv.Error) as error:
        raise TaskError(f"cannot read {path}: {error}") from None
    return names, rows


def _parquet(path: Path, options: Options) -> tuple[list[str], Sequence[Sequence[Any]]]:
    """The wanted columns of a Parquet file that are there, as rows; all names when one is missing."""
    import pyarrow
    from pyarrow import parquet

    try:
        names = parquet.read_schema(path).names
        if not set(options.columns) <= set(names):
            return names, []
        table = parquet.read_table(path, columns=list(options.columns))
    except (OSError, pyarrow.ArrowException) as error:
        raise TaskError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None
    return table.column_names, list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _text(value: Any) -> str:
    """A value as text; a whole number that came as 3.0, because its column has gaps elsewhere, is 3."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _label_names(rows: list[Row], path: Path, options: Options) -> tuple[str, ...]:
    """The labels of a classification, numbers in their order, else by the alphabet."""
    counts = Counter(row[-1] for row in rows)
    if len(counts) < 2:
        raise TaskError(
            f"{path.name} has only one label, '{next(iter(counts))}', in column '{options.label}'; at least two are needed"
        )
    if len(counts) > MOST_LABELS or len(counts) > len(rows) / 2:
        raise TaskError(
            f"column '{options.label}' of {path.name} has {len(counts)} different labels in {len(rows)} rows; for numbers add &kind=regression"
        )
    return tuple(sorted(counts, key=_by_number))


def _by_number(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def _check_numbers(path: Path, rows: list[Row], options: Options) -> None:
    for number, row in enumerate(rows, start=1):
        try:
            finite = math.isfinite(float(row[-1]))
        except ValueError:
            finite = False
        if not finite:
            raise TaskError(
                f"row {number} of {path.name}: '{row[-1][:40]}' in column '{options.label}' is not a number; remove &kind=regression for classes"
            )
    if len({float(row[-1]) for row in rows}) < 2:
        raise TaskError(
            f"column '{options.label}' of {path.name} has the same number in every row; there is nothing to predict"
        )


def _check_known(path: Path, rows: list[Row], labels: tuple[str, ...]) -> None:
    for number, row in enumerate(rows, start=1):
        if row[-1] not in labels:
            raise TaskError(
                f"row {number} of {path.name} has the label '{row[-1][:40]}', which the train file has not; it has {', '.join(labels[:20])}"
            )


def _held_out(rows: list[Row]) -> list[list[Row]]:
    """Train and dev rows, drawn by the content alone: the same file gives the same split. Rows with the same texts stay together."""
    texts = sorted({row[:-1] for row in rows})
    seed = hashlib.sha256("\0".join("\1".join(text) for text in texts).encode()).hexdigest()
    random.Random(seed).shuffle(texts)
    held = set(texts[: max(2, round(DEV_SHARE * len(texts)))])
    return [[row for row in rows if row[:-1] not in held], [row for row in rows if row[:-1] in held]]
