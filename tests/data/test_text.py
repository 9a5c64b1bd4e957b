"""Unlabelled text: files, gzip files, folders, and what there is without any."""

import gzip
from itertools import islice
from pathlib import Path

import pytest

from data.errors import UsageError
from data.tasks import load_task
from data.text import paragraphs, texts_for

LONG = "A paragraph that is long enough to keep, number"


def test_file_gzip_and_folder(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text(f"\ufeff{LONG} 1\n\nHeading\n  {LONG} 2  \n", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    with gzip.open(tmp_path / "sub" / "a.txt.gz", "wt", encoding="utf-8") as file:
        file.write(f"{LONG} ž\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert list(paragraphs(str(tmp_path / "b.txt"))) == [f"{LONG} 1", f"{LONG} 2"]
    assert list(paragraphs(str(tmp_path / "sub" / "a.txt.gz"))) == [f"{LONG} ž"]
    assert list(paragraphs(str(tmp_path))) == [f"{LONG} 1", f"{LONG} 2", f"{LONG} ž"]


def test_what_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no text at"):
        paragraphs(str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="has no text files"):
        paragraphs(str(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe" * 50)
    with pytest.raises(UsageError, match="not UTF-8 text"):
        list(paragraphs(str(tmp_path / "a.txt")))
    whole = gzip.compress(b"text " * 10_000)
    for content in (b"no gzip at all, but long enough", whole[: len(whole) // 2]):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(UsageError, match="cannot read"):
            list(paragraphs(str(tmp_path / "a.gz")))


def test_without_a_file_the_tasks_training_sentences_come_first() -> None:
    task = load_task("paraphrase")
    texts = list(islice(texts_for(task), 8100))
    assert texts[0] == task.train[0]["text_a"]
    assert set(texts[:8000]) == {*task.train["text_a"][:], *task.train["text_b"][:]}
    assert set(texts).isdisjoint(task.dev["text_a"][:])
