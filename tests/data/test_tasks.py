"""Named tasks: generated ones anywhere, GLUE where its files are; and the metrics."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from needs import absent

from data.errors import TaskError
from data.metrics import score
from data.tasks import Task, chance, evaluate, load_task, make_split, task_names

GLUE_SIZES = {"cola": (8551, 1043), "mrpc": (3668, 408), "rte": (2490, 277), "sst2": (67349, 872), "stsb": (5749, 1500)}


@pytest.fixture
def glue_folder() -> Path:
    folder = os.environ.get("POCKETFORMER_GLUE_DIR")
    if not folder:
        absent("POCKETFORMER_GLUE_DIR is not set")
    return Path(str(folder))


def small_glue(folder: Path) -> Path:
    """GLUE's files in small, with their oddities: quotes that are text, a byte order mark, no header in CoLA."""
    rows = {
        "CoLA": ("", 'gj04\t1\t\tHe said "no.\ncj99\t0\t*\tThe dog barks" loud.\n'),
        "MRPC": (
            "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n",
            '1\t1\t2\tHe said " no .\tNo , he said .\n0\t3\t4\tA\tB\n',
        ),
        "RTE": ("index\tsentence1\tsentence2\tlabel\n", "0\tA b.\tC.\tnot_entailment\n1\tD e.\tF.\tentailment\n"),
        "SST-2": ("sentence\tlabel\n", "it 's charming . \t1\ndull \t0\n"),
        "STS-B": ("index\tgenre\tsentence1\tsentence2\tscore\n", "0\tmain\tA.\tB.\t5.000\n1\tmain\tC.\tD.\t1.250\n"),
    }
    for name, (header, lines) in rows.items():
        (folder / name).mkdir(parents=True)
        for split in ("train", "dev"):
            (folder / name / f"{split}.tsv").write_text(header + lines, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "first", "labels"),
    [
        ("cola", ('He said "no.', None), [1, 0]),
        ("mrpc", ('He said " no .', "No , he said ."), [1, 0]),
        ("rte", ("A b.", "C."), [1, 0]),
        ("sst2", ("it 's charming .", None), [1, 0]),
        ("stsb", ("A.", "B."), [1.0, 0.25]),
    ],
)
def test_glue_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, first: tuple[str, str | None], labels: list[float]
) -> None:
    monkeypatch.setenv("POCKETFORMER_GLUE_DIR", str(small_glue(tmp_path)))
    task = load_task(name)
    assert (task.train[0]["text_a"], task.train[0]["text_b"]) == first
    assert list(task.dev["label"]) == labels
    assert task.text_columns == (1 if first[1] is None else 2)
    assert task.outputs == (1 if name == "stsb" else 2)


def test_glue_as_it_is(glue_folder: Path) -> None:
    """Every row of GLUE's own files is read, with the hub's class numbers."""
    for name, sizes in GLUE_SIZES.items():
        task = load_task(name)
        assert (len(task.train), len(task.dev)) == sizes
        assert all(task.train["text_a"])
        assert (
            set(task.dev["label"]) == {0, 1} if task.label_names else 0 <= min(task.dev["label"]) < max(task.dev["label"]) == 1
        )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "RTE" / "dev.tsv").unlink(), "POCKETFORMER_GLUE_DIR is to hold"),
        (lambda folder: (folder / "RTE" / "dev.tsv").write_text("index\tsentence1\tlabel\n"), "no column 'sentence2'"),
        (
            lambda folder: (folder / "RTE" / "dev.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\tA\n"),
            "line 2 of .* is damaged",
        ),
        (
            lambda folder: (folder / "RTE" / "dev.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\tA\tB\tmaybe\n"),
            "line 2",
        ),
        (lambda folder: (folder / "RTE" / "dev.tsv").write_text("index\tsentence1\tsentence2\tlabel\n"), "is empty"),
        (lambda folder: (folder / "RTE" / "dev.tsv").write_bytes(b"\xff\xfe\x00"), "cannot read"),
    ],
)
def test_damaged_glue_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage, message: str) -> None:
    damage(small_glue(tmp_path))
    monkeypatch.setenv("POCKETFORMER_GLUE_DIR", str(tmp_path))
    with pytest.raises(TaskError, match=message) as error:
        load_task("rte")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("score", ["5.2", "-1", "nan"])
def test_a_score_out_of_its_range_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: str) -> None:
    folder = tmp_path / "STS-B"
    folder.mkdir()
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text(f"sentence1\tsentence2\tscore\nA b.\tA c.\t5\nA d.\tA e.\t{score}\n")
    monkeypatch.setenv("POCKETFORMER_GLUE_DIR", str(tmp_path))
    with pytest.raises(TaskError, match=rf"^line 3 of .*train.tsv has the score {score}; STS-B's go from 0 to 5$"):
        load_task("stsb")


def test_no_hub_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.delenv("POCKETFORMER_GLUE_DIR", raising=False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(TaskError, match="set POCKETFORMER_GLUE_DIR") as error:
        load_task("rte")
    assert "\n" not in str(error.value)


def test_unknown_task_lists_those_there_are() -> None:
    with pytest.raises(
        TaskError, match=r"unknown task 'glue'; take paraphrase, acceptability, stsb.*reviews.csv\?text="
    ) as error:
        load_task("glue")
    assert error.value.exit_status == 2


def test_listing_tasks_is_light() -> None:
    """The page and the command list tasks; that brings in no heavy library."""
    program = (
        "import sys; from data.tasks import task_names; import data.store, data.artifacts, data.text; "
        "task_names(); print([m for m in ('datasets', 'pandas', 'torch', 'duckdb', 'fsspec', 'sklearn', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    assert [info.name for info in task_names()][:2] == ["paraphrase", "acceptability"]


@pytest.mark.parametrize("name", ["acceptability", "paraphrase"])
def test_generated_task(name: str) -> None:
    task = load_task(name)
    assert (len(task.train), len(task.dev)) == (4000, 600)
    assert 0.4 < np.mean(task.train["label"]) < 0.6
    assert task.metric == next(info.metric for info in task_names() if info.name == name)
    truth = np.array(task.dev["label"])
    assert list(evaluate(task, truth).values()) == [1.0, 1.0]
    assert next(iter(evaluate(task, np.eye(2)[truth]))) == task.metric


def test_scores() -> None:
    """Against values worked out by hand; predictions without information score nothing, never NaN."""
    assert score("f1", [1, 1, 0, 0], [1, 0, 0, 0]) == {"f1": pytest.approx(2 / 3), "accuracy": 0.75}
    assert score("matthews", [1, 1, 0, 0], [1, 0, 0, 0])["matthews"] == pytest.approx(1 / np.sqrt(3))
    assert score("matthews", [1, 0], [0, 1])["matthews"] == 0.0
    assert score("pearson", [0.0, 0.5, 1.0], [1, 2, 3]) == {"pearson": pytest.approx(1), "spearman": pytest.approx(1)}
    assert score("pearson", [0.0, 0.5, 1.0], [3, 2, 1])["pearson"] == 0.0
    assert score("accuracy", [0, 2, 1], [0, 2, 2]) == {"accuracy": pytest.approx(2 / 3)}
    for metric in ("f1", "matthews", "pearson"):
        assert score(metric, [0, 1, 0], [0, 0, 0])[metric] == 0.0
    assert score("pearson", [0.0, 0.5], [np.nan, 1.0]) == {"pearson": 0.0, "spearman": 0.0}
    with pytest.raises(ValueError, match="predictions for"):
        score("f1", [0, 1], [0])


def test_regression_takes_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETFORMER_GLUE_DIR", str(small_glue(tmp_path)))
    task = load_task("stsb")
    assert evaluate(task, np.array([[0.9], [0.1]]))["pearson"] == pytest.approx(1.0)
    assert evaluate(task, np.array([0.9, 0.1, 0.5]), labels=[0.1, 0.9, 0.5])["pearson"] == 0.0


@pytest.mark.parametrize(
    ("kind", "names", "metric", "labels", "reached"),
    [
        ("classification", ("no", "yes"), "f1", [1, 1, 0, 1], {"f1": 6 / 7, "accuracy": 3 / 4}),
        ("regression", (), "pearson", [0.1, 0.5, 0.9], {"pearson": 0.0, "spearman": 0.0}),
    ],
)
def test_chance_is_the_best_of_one_answer_for_all(kind, names, metric, labels, reached) -> None:
    split = make_split(["a"] * len(labels), None, labels, kind == "regression")
    assert chance(Task("t", kind, 1, names, metric, split, split), labels) == pytest.approx(reached)
