"""A user's own task file: uploads, columns, and the name it gets as a task."""

from urllib.parse import parse_qs

import pytest

from app import own_file
from data.errors import TaskError


def test_columns_of_csv_tsv_and_parquet(tmp_path):
    (tmp_path / "a.csv").write_text('﻿body,"stars, of five"\nfine,5\n')
    (tmp_path / "a.tsv").write_text("body\tstars\nfine\t5\n")
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"body": ["fine"], "stars": [5]}), tmp_path / "a.parquet")
    assert own_file.columns(tmp_path / "a.csv") == ["body", "stars, of five"]
    assert own_file.columns(tmp_path / "a.tsv") == ["body", "stars"]
    assert own_file.columns(tmp_path / "a.parquet") == ["body", "stars"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"body,stars\n", "is not a task file"),
        ("a.csv", b"", "has 0 columns"),
        ("a.csv", b"body\n", "has 1 columns"),
        ("a.csv", b"\xff\xfe\x00b", "cannot read"),
        ("a.parquet", b"no parquet", "cannot read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=says) as caught:
        own_file.columns(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_has_the_columns_of_its_train_file(tmp_path):
    (tmp_path / "train.tsv").write_text("body\tstars\nfine\t5\n")
    assert own_file.columns(tmp_path) == ["body", "stars"]


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("none.csv", "folder"):
        with pytest.raises(TaskError, match="cannot read"):
            own_file.columns(tmp_path / name)


def test_an_upload_is_kept_once_and_cannot_leave_its_folder(fresh_home):
    first = own_file.save_upload("../../reviews.csv", b"text,label\n")
    assert own_file.save_upload("reviews.csv", b"text,label\n") == first
    assert first.parent.name == "uploads"
    assert first.read_bytes() == b"text,label\n"
    assert own_file.save_upload("reviews.csv", b"other,label\n") != first
    assert len(list(first.parent.iterdir())) == 2


def test_task_name_carries_its_options(tmp_path):
    name = own_file.task_name(tmp_path / "a.csv", "the body", "stars&more", "title", "regression")
    path, _, query = name.partition("?")
    assert path == str(tmp_path / "a.csv")
    assert parse_qs(query) == {"text": ["the body"], "label": ["stars&more"], "pair": ["title"], "kind": ["regression"]}
    assert own_file.task_name(tmp_path / "a.csv", "t", "l", None, "classification").endswith("?text=t&label=l")
