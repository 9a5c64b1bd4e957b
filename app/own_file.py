"""A user's own task file: where an upload is kept, which columns it has, how it is named as a task."""

import csv
import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from data.errors import TaskError
from data.home import subfolder

SUFFIXES = ("csv", "tsv", "parquet")
KINDS = ("classification", "regression")


def save_upload(name: str, content: bytes) -> Path:
    """Keep an uploaded file under `POCKETFORMER_HOME/uploads`, named by its content; the same file twice is kept once.

    Raises:
        TaskError: it cannot be written.
    """
    path = subfolder("uploads") / f"{hashlib.sha256(content).hexdigest()[:12]}-{Path(name).name.replace('?', '_')}"
    if path.exists():
        return path
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            part.write(content)
        os.replace(part.name, path)
    except OSError as error:
        raise TaskError(f"cannot keep {name}: {error.strerror}; free some space in {path.parent}") from error
    return path


def columns(path: Path) -> list[str]:
    """The column names of a CSV, TSV or Parquet file, or of the train file in a folder; from the file's head alone.

    Raises:
        TaskError: no such file, another kind of file, or no column names in it.
    """
    if path.is_dir():
        path = next((file for suffix in SUFFIXES if (file := path / f"train.{suffix}").is_file()), path / "train.csv")
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in SUFFIXES:
        raise TaskError(f"{path.name} is not a task file; give a .csv, .tsv or .parquet file")
    try:
        names = _parquet_columns(path) if suffix == "parquet" else _first_row(path, "\t" if suffix == "tsv" else ",")
    except (OSError, ValueError) as error:
        raise TaskError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(names) < 2:
        raise TaskError(f"{path.name} has {len(names)} columns; a task needs a text column and a label column")
    return names


def task_name(path: Path, text: str, label: str, pair: str | None, kind: str) -> str:
    """The task name that `data.tasks.load_task` reads: the path with its options as a query."""
    options = {"text": text, "label": label} | ({"pair": pair} if pair else {}) | ({"kind": kind} if kind != KINDS[0] else {})
    return f"{path}?{urlencode(options)}"


def _first_row(path: Path, delimiter: str) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        return next(csv.reader(lines, delimiter=delimiter), [])


def _parquet_columns(path: Path) -> list[str]:
    from pyarrow import parquet

    return parquet.read_schema(path).names
