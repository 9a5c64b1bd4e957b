"""Several tasks for one model: named in a list, scored each by its own metric."""

from pathlib import Path

import numpy as np
import pytest

from data.errors import TaskError
from data.tasks import JointTask, chance, evaluate, load_task, make_split, part_names, short_name


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A classification of single texts and a regression on pairs."""
    monkeypatch.chdir(tmp_path)
    rows = [(f"text {number}", f"other {number}", number % 3, number / 10) for number in range(30)]
    lines = [f"{text},{pair},c{label},{score}" for text, pair, label, score in rows]
    (tmp_path / "rows.csv").write_text("text,pair,label,score\n" + "\n".join(lines))
    (tmp_path / "pairs.csv").write_text("text,pair,label,score\n" + "\n".join(lines))
    return "rows.csv?text=text&label=label,pairs.csv?text=text&pair=pair&label=score&kind=regression"


def test_a_list_of_tasks_is_told_from_a_name_with_a_comma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b.csv").write_text("text,label\n")
    assert part_names("stsb, mrpc") == ["stsb", "mrpc"]
    assert part_names("a,b.csv?text=text&label=label") == ["a,b.csv?text=text&label=label"]
    assert part_names("stsb,mrcp") == ["stsb", "mrcp"]  # which is then said to be unknown, by its own name
    assert short_name("stsb,/data/reviews.csv?text=body&label=stars") == "stsb+reviews"


def test_a_joint_task_has_all_rows_and_all_outputs(files: str) -> None:
    task = load_task(files)
    assert isinstance(task, JointTask)
    first, second = task.parts
    assert (task.outputs, task.text_columns, task.metric) == (4, 2, "mean")
    assert task.label_names == ("rows: c0", "rows: c1", "rows: c2", "pairs: score")
    assert len(task.train) == len(first.train) + len(second.train)
    assert list(task.train["label"]) == pytest.approx([*first.train["label"], *second.train["label"]])
    assert task.train["text_b"][: len(first.train)] == [None] * len(first.train)


def test_each_part_is_scored_by_its_own_outputs(files: str) -> None:
    task = load_task(files)
    first, second = task.parts
    answers = np.zeros((len(task.dev), 4))
    labels = np.array(first.dev["label"])
    answers[np.arange(len(labels)), labels] = 1
    answers[len(labels) :, 3] = -np.array(second.dev["label"])
    found = evaluate(task, answers)
    assert found == {"mean": 0.5, "rows accuracy": 1.0, "pairs pearson": 0.0, "pairs spearman": 0.0}
    some = evaluate(task, answers[[0, 1, -2, -1]], [*labels[:2], *second.dev["label"][-2:]], (2, 2))
    assert some["rows accuracy"] == 1.0


def test_one_answer_for_all_gets_the_mean_of_what_it_gets_in_each(files: str) -> None:
    task = load_task(files)
    least = chance(task, list(task.train["label"]))
    first = chance(task.parts[0], list(task.parts[0].train["label"]))
    assert least["mean"] == pytest.approx(first["accuracy"] / 2)
    assert least["pairs pearson"] == 0


@pytest.mark.parametrize(("name", "said"), [("stsb,mrcp", "unknown task 'mrcp'"), ("cola,cola", "'cola' is there twice")])
def test_a_wrong_list_is_one_line(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(name: str) -> object:
        from data.tasks import Task

        split = make_split(["a"], None, [0])
        return Task(name, "classification", 1, ("no", "yes"), "accuracy", split, split)

    monkeypatch.setattr("data.glue.load_glue", read)
    with pytest.raises(TaskError, match=said):
        load_task(name)
