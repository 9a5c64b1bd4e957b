"""Unlabelled text for distillation: from the user's files, or from the task and the generator where there are none."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UsageError

if TYPE_CHECKING:
    from data.tasks import Task

TEXT_SUFFIXES = (".txt", ".text", ".md", ".gz")
SHORTEST = 20  # characters; shorter lines are headings and list marks
GENERATED_PARAGRAPHS = 20_000


def paragraphs(spec: str) -> Iterator[str]:
    """The paragraphs of a text file, one a line, of a gzip file, or of all such files of a folder and its subfolders, by name.

    Raises:
        UsageError: nothing there, or not text. A missing file is told at once, a damaged one when reached.
    """
    files = text_files(spec)
    return (line for file in files for line in _lines(file))


def text_files(spec: str) -> list[Path]:
    """The files that `paragraphs` reads.

    Raises:
        UsageError: there is none.
    """
    path = Path(spec).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"there is no text at {spec}; give a text file, a .gz file, or a folder of them")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in TEXT_SUFFIXES and file.is_file())
    if not files:
        raise UsageError(f"the folder {spec} has no text files ({', '.join(TEXT_SUFFIXES)})")
    return files


def texts_for(task: "Task") -> Iterator[str]:
    """What to distil on where the user gives no text: the sentences of the task's train split, then generated paragraphs."""
    from itertools import islice

    from data import generated

    seen: set[str] = set()
    for column in ("text_a", "text_b"):
        for text in task.train[column][:]:
            if text and text not in seen:
                seen.add(text)
                yield text
    yield from islice(generated.paragraphs(), GENERATED_PARAGRAPHS)


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            for line in io.TextIOWrapper(file, encoding="utf-8-sig"):
                if len(text := line.strip()) >= SHORTEST:
                    yield text
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text; give a text file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
