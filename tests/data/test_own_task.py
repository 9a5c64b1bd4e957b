"""A user's own file as a task, and what can be wrong with it: each in one line that says where."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import TaskError
from data.tasks import load_task

OPTIONS = "?text=body&label=stars"


def write(path: Path, rows: int = 40, label: Callable[[int], object] = lambda i: i % 3 + 1, separator: str = ",") -> Path:
    lines = [separator.join(("id", "body", "stars"))]
    lines += [
        separator.join((str(i), f'"Review {i}{separator} quite good"' if separator == "," else f"Review {i}", str(label(i))))
        for i in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def refused(name: str) -> str:
    with pytest.raises(TaskError) as error:
        load_task(name)
    assert "\n" not in str(error.value)
    assert error.value.exit_status == 2
    return str(error.value)


def test_csv(tmp_path: Path) -> None:
    task = load_task(f"{write(tmp_path / 'reviews.csv')}{OPTIONS}")
    assert (task.kind, task.metric, task.text_columns, task.label_names, task.outputs) == (
        "classification",
        "accuracy",
        1,
        ("1", "2", "3"),
        3,
    )
    assert len(task.train) + len(task.dev) == 40
    assert 0.1 <= len(task.dev) / 40 <= 0.2
    row = task.train[0]
    assert row["text_b"] is None
    number = int(row["text_a"].split()[1].rstrip(","))
    assert row["text_a"] == f"Review {number}, quite good"
    assert row["label"] == number % 3


def test_split_is_the_same_each_time_and_keeps_equal_texts_together(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("body,stars\n" + "".join(f"text {i // 2},{i % 2}\n" for i in range(60)))
    first, again = (load_task(f"{path}{OPTIONS}") for _ in range(2))
    assert list(first.dev["text_a"]) == list(again.dev["text_a"])
    assert set(first.train["text_a"]).isdisjoint(first.dev["text_a"])


def test_tsv_and_parquet_agree_with_csv(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    tsv = load_task(f"{write(tmp_path / 'r.tsv', separator=chr(9))}{OPTIONS}")
    table = pyarrow.table({"stars": [float(i % 3 + 1) for i in range(40)], "body": [f"Review {i}" for i in range(40)]})
    parquet.write_table(table, tmp_path / "r.parquet")
    columns = load_task(f"{tmp_path / 'r.parquet'}{OPTIONS}")
    assert list(tsv.train) == list(columns.train)
    assert list(tsv.dev) == list(columns.dev)
    assert columns.label_names == ("1", "2", "3")


def test_pairs_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("a b,c,score\n" + "".join(f"left {i},right {i},{i / 10}\n" for i in range(30)))
    task = load_task(f"{path}?text=a+b&pair=c&label=score&kind=regression")
    assert (task.kind, task.metric, task.text_columns, task.label_names, task.outputs) == ("regression", "pearson", 2, (), 1)
    row = task.train[0]
    assert row["text_b"] == row["text_a"].replace("left", "right")
    assert row["label"] == pytest.approx(int(row["text_a"].split()[1]) / 10)


def test_folder_with_train_and_dev(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", 40)
    write(tmp_path / "dev.csv", 25)
    task = load_task(f"{tmp_path}{OPTIONS}")
    assert (len(task.train), len(task.dev)) == (40, 25)
    write(tmp_path / "dev.csv", 25, lambda i: 9)
    assert "row 1 of dev.csv has the label '9', which the train file has not" in refused(f"{tmp_path}{OPTIONS}")
    (tmp_path / "dev.csv").unlink()
    assert len(load_task(f"{tmp_path}{OPTIONS}").train) < 40
    write(tmp_path / "train.tsv", 40, separator="\t")
    assert "both train.csv and train.tsv" in refused(f"{tmp_path}{OPTIONS}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.csv?text=a&label=b", "there is no file"),
        ("reviews.csv", "say which columns"),
        ("reviews.csv?text=body", "say which columns"),
        ("reviews.csv?text=&label=stars", "say which columns"),
        ("reviews.csv?text=body&label=stars&sep=,", "'sep' is not an option"),
        ("reviews.csv?text=body&label=stars&kind=ranking", "kind=ranking is not known; take classification or regression"),
        ("reviews.csv?text=body&label=body", "different columns"),
        ("reviews.csv?text=comment&label=stars", "reviews.csv has no column 'comment'; its columns are id, body, stars"),
        ("notes.doc?text=a&label=b", "not a task file"),
        (".?text=a&label=b", "has no train.csv"),
        ("broken.parquet?text=a&label=b", "cannot read"),
        ("latin.csv?text=body&label=stars", "not UTF-8"),
    ],
)
def test_wrong_names_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("reviews.csv"))
    Path("notes.doc").write_text("x")
    Path("broken.parquet").write_bytes(b"PAR1 nothing")
    Path("latin.csv").write_bytes("body,stars\ncafé,1\n".encode("latin-1"))
    assert message in refused(name)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("", OPTIONS, "r.csv has no column 'body'"),
        ("body,stars\nonly,1\n", OPTIONS, "has 1 rows; at least 20 are needed"),
        ("body,stars\n" + "good,1\n" * 5 + ",2\n" + "bad,2\n" * 20, OPTIONS, "row 6 of r.csv has nothing in column 'body'"),
        ("body,stars\n" + "good,1\n" * 5 + "bad,\n" * 20, OPTIONS, "row 6 of r.csv has nothing in column 'stars'"),
        ("body,stars\n" + "good,1\n" * 30, OPTIONS, "only one label, '1', in column 'stars'"),
        (
            "body,stars\n" + "".join(f"t{i},{i}\n" for i in range(30)),
            OPTIONS,
            "30 different labels in 30 rows; for numbers add &kind=regression",
        ),
        (
            "body,stars\n" + "good,1\n" * 20 + "bad,two\n",
            OPTIONS + "&kind=regression",
            "row 21 of r.csv: 'two' in column 'stars' is not a number",
        ),
        (
            "body,stars\n" + "good,1\n" * 20 + "bad,nan\n",
            OPTIONS + "&kind=regression",
            "'nan' in column 'stars' is not a number",
        ),
        ("body,stars\n" + "good,1\n" * 30, OPTIONS + "&kind=regression", "the same number in every row"),
        ("body,stars\n" + "good,1,\n" * 30, OPTIONS, "row 1 of r.csv has 3 values for 2 columns"),
        ('body,stars\n"good,1\n' * 10, OPTIONS, "cannot read"),
    ],
)
def test_wrong_rows(tmp_path: Path, rows: str, options: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(rows)
    assert message in refused(f"{tmp_path / 'r.csv'}{options}")
