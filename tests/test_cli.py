"""The command's edges: wrong use and bad input are one line on standard error, the right exit status, and nothing written."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.cli import main
from engine.teacher import model_folder

FOLDER = Path(__file__).resolve().parent.parent


def said(capsys) -> str:
    """What standard error says: one line, without the command's name."""
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("pocketformer: ")
    return lines[0]


def search(*arguments: str) -> int:
    return main(["search", "--json", *arguments])


@pytest.fixture
def home(fresh_home):
    return Path(fresh_home)


def runs_in(home: Path) -> int:
    from data.store import open_store

    with open_store() as store:
        return len(store.runs())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "nosuch"), "nosuch"),
        (("--device", "toaster"), "unknown device 'toaster'; take host"),
        (("--strategy", "oracle"), "unknown strategy 'oracle'; take one of bayes, reinforce, random"),
        (("--latency-ms", "0"), "give a number of milliseconds above 0"),
        (("--latency-ms", "nan"), "give a number of milliseconds above 0"),
        (("--trials", "0"), "trials is 0; give 1 or more"),
        (("--also", "toaster=40"), "unknown device 'toaster'"),
        (("--also", "host=40"), "'host' is the first device already"),
        (("--also", "pixel-8=40", "--also", "pixel-8=50"), "--also names pixel-8 twice"),
        (("--teacher", "/nonexistent/model"), "/nonexistent/model"),
        (("--task", "/nonexistent/file.csv?text=a&label=b"), "/nonexistent/file.csv"),
        (("--depths", "9"), "9"),
        (("--resume", "nosuchrun"), "nosuchrun"),
        (("--resume", "some", "--seed", "3"), "--resume goes on with the run's own settings; leave --seed away"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_is_written(home, capsys, arguments, message):
    status = search(*arguments)
    assert message in said(capsys)
    assert status == (1 if "nosuchrun" in arguments else 2)
    assert runs_in(home) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("title,stars\ngood film,1\n", "body"),
        ("body,stars\n" + "".join(f"good film {i},1\n" for i in range(50)), "one label"),
        ("body,stars\n" + "".join(f"{'' if i == 7 else f'film {i}'},{i % 2}\n" for i in range(50)), "row 8"),
    ],
    ids=["no such column", "one label only", "empty text"],
)
def test_a_file_that_is_no_task(home, tmp_path, capsys, content, message):
    path = tmp_path / "reviews.csv"
    path.write_text(content)
    assert search("--task", f"{path}?text=body&label=stars") == 2
    assert message in said(capsys)
    assert runs_in(home) == 0


def test_a_folder_that_is_no_model(home, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert search("--teacher", str(tmp_path / "empty")) == 2
    assert "is not a model" in said(capsys)


def test_a_teacher_with_another_tokenizer_size(home, tmp_path, capsys):
    folder = shutil.copytree(model_folder("minilm"), tmp_path / "teacher")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 12345}))
    assert search("--teacher", str(folder)) == 2
    assert "its tokenizer has 30522 tokens but the model 12345" in said(capsys)


@pytest.mark.parametrize("command", [("show", "nope"), ("compile", "nope", "-o", "x.zip"), ("bench", "nope")])
def test_an_unknown_model_is_named_with_those_there_are(home, tmp_path, capsys, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command]) == 2
    message = said(capsys)
    assert "'nope'" in message
    assert "minilm-l6" in message
    assert list(tmp_path.glob("*.zip")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "missing.zip", "--text", "a"), "no bundle at missing.zip"),
        (("run", "missing.zip"), "give either --text SENTENCE or --inputs X.npz"),
        (("bench", "minilm-l6", "--against", "magic"), "unknown runtime 'magic'"),
        (("bench", "minilm-l6", "--device", "toaster"), "unknown device 'toaster'"),
        (("trials",), "there is no run yet"),
        (("predict", "minilm-l6", "--device", "toaster"), "unknown device 'toaster'"),
        (("predict", "missing.csv", "--device", "pixel-8"), "missing.csv cannot be read as CSV"),
        (("predict", "minilm-l6", "--device", "pixel-8", "--threads", "12"), "pixel-8 has 9 cores"),
        (("predict", "minilm-l6", "--device", "pixel-8", "--gpu", "--threads", "2"), "--gpu has no cluster and no threads"),
        (("calibrate", "--device", "pixel-8", "--data", "missing.csv"), "missing.csv cannot be read as CSV"),
        (("calibrate", "--device", "pixel-8", "--budget", "3"), "latency on pixel-8 cannot be measured"),
    ],
)
def test_wrong_use(home, capsys, arguments, message):
    assert main([*arguments]) == 2
    assert message in said(capsys)


@pytest.mark.parametrize("target", ["pixel-8", "pixel-8=fast", "pixel-8="])
def test_a_further_device_without_a_target(capsys, target):
    with pytest.raises(SystemExit) as ended:
        main(["search", "--also", target])
    assert ended.value.code == 2
    assert f"'{target}' is no device with a latency target; write galaxy-s20=40" in capsys.readouterr().err


@pytest.mark.parametrize("lengths", ["", "0", "32,", "64,-1", "long"])
def test_lengths_that_are_none(capsys, lengths):
    with pytest.raises(SystemExit) as ended:
        main(["compile", "minilm-l6", "-o", "x.zip", f"--seq-len={lengths}"])
    assert ended.value.code == 2
    assert f"'{lengths}' are no lengths in tokens; write 128, or 32,64,128" in capsys.readouterr().err


def test_a_bundle_is_not_timed_beyond_its_length(home, tmp_path, capsys):
    from compiler.bundle import write_bundle

    built = tmp_path / "built"
    built.mkdir()
    for name in ("model.so", "bench", "weights.bin", "plan.json", "pocketformer.h"):
        (built / name).write_bytes(b"")
    description = {"architecture": "L1-H64-A1-F64", "device": "host", "precision": "fp32", "seq_len": 32, "outputs": 1}
    path = write_bundle(built, tmp_path / "a.zip", description, "{}")
    assert main(["bench", str(path), "--seq-len", "16,33"]) == 2
    assert "--seq-len 33" in (message := said(capsys))
    assert "takes at most 32 tokens" in message


def test_show_as_json(capsys):
    assert main(["show", "minilm-l6", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["layers"] == 6
    assert shown["flops"] == 2 * shown["mult_adds"]
    assert shown["bytes"] == 4 * shown["parameters"]


def test_predict_as_json(home, tmp_path, capsys):
    assert main(["predict", "bert-base", "--device", "galaxy-s20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"] == "predicted"
    assert 0 < found["low"] < found["latency_ms"] < found["high"]
    assert [(each["latency_ms"], each["source"], each["by"]) for each in found["published"]] == [
        (257.0, "published", "CANAO, Table 3"),
        (186.0, "published", "CANAO, Table 3"),
    ]
    path = tmp_path / "architectures.csv"
    path.write_text("architecture\nbert-base\nL2-H128-A2-F512\n")
    assert main(["predict", str(path), "--device", "galaxy-s20", "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both[0]["latency_ms"] == found["latency_ms"]
    assert {"latency_ms", "low", "high", "source"} <= set(both[1])


def test_predict_is_calibrated_by_a_file(home, tmp_path, capsys):
    path = tmp_path / "measured.csv"
    rows = [
        f"L{layers}-H{64 * heads}-A{heads}-F{256 * heads},{layers * heads**2},1" for layers in (2, 6) for heads in (4, 6, 8)
    ]
    path.write_text("\n".join(["architecture,ms,threads", *rows]))
    assert main(["calibrate", "--device", "pixel-8", "--data", str(path), "--json"]) == 0
    fitted = json.loads(capsys.readouterr().out)["clusters"]["big"]
    assert (fitted["rows"], fitted["families"]) == (6, 3)
    assert main(["predict", "L4-H384-A6-F1536", "--device", "pixel-8", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["latency_ms"] == pytest.approx(4 * 6**2, rel=0.2)
    assert "calibrated on 6 measurements" in found["basis"]


def test_predict_imports_nothing_heavy():
    code = (
        "import sys; from app.cli import main; main(['predict', 'bert-base', '--device', 'pixel-8', '--json']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=FOLDER, check=True)
    assert not set(done.stderr.split()) & {"torch", "tvm", "transformers", "scipy", "pandas", "duckdb"}


def test_a_port_in_use_is_said_in_one_line(home, capsys):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    assert f"cannot serve on 127.0.0.1:{port}" in said(capsys)


def test_help_is_light():
    """Under 0.5 s on an idle machine; here, what makes it slow is looked for instead, as time depends on who else computes."""
    code = "import sys, app.cli\ntry: app.cli.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=FOLDER, check=True)
    modules = set(done.stdout.split())
    assert not modules & {"torch", "tvm", "transformers", "datasets", "duckdb", "streamlit", "numpy", "pandas", "celery"}
    assert time.monotonic() - start < 5


def test_runs_are_listed_controlled_and_removed(home, capsys):
    from data.store import open_store
    from engine.search import initial_state
    from engine.settings import Settings

    with open_store() as store:
        store.create_run("r", Settings().to_dict(), initial_state("r", Settings()).to_json())
    for action, status in (("pause", "paused"), ("resume", "running"), ("extend", "running"), ("cancel", "cancelled")):
        assert main(["runs", action, "r", *(["--trials", "9"] if action == "extend" else [])]) == 0
        assert capsys.readouterr().out.strip() == f"run r: {status}"
    assert main(["runs", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["run_id"], listed["status"], listed["trials"]) == ("r", "cancelled", 9)
    assert main(["runs", "remove", "r"]) == 0
    assert "removed" in capsys.readouterr().out
    assert runs_in(home) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pause",), "give the run"),
        (("pause", "nosuch"), "there is no run 'nosuch'"),
        (("remove",), "give the run"),
    ],
)
def test_a_wrong_run_is_told_in_one_line(home, capsys, arguments, message):
    assert main(["runs", "--json", *arguments]) != 0
    assert message in said(capsys)
