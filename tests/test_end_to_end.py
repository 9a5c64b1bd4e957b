"""The main job on real parts: a real teacher, real training, real compiled code timed on this machine; only small."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from browser import ROOT, chromium, environment_of, free_port, require_chromium, served_page, settle, tab, wait_for

from app.answers import tokenised
from app.bundles.trying import Answerer
from benchmarks import main_job
from data.errors import PocketformerError

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]
TASK = "acceptability"
SENTENCES = ("The old sailor was praised by the quiet teacher.", "Baker the every slowly walk.")
SMALL = ("--task", TASK, "--latency-ms", "200", "--depths", "1,2", "--ffn-sizes", "384", "--distil-seconds", "4")
SMALL += ("--final-epochs", "1", "--seq-len", "32")
PROCESS_NAMES = {"train": "jobs.worker train", "store": "data.store_server", "broker": "valkey-server"}


def pocketformer(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, **options)


def json_of(*arguments: str):
    done = pocketformer(*arguments, "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The JSON of one whole search by the command line."""
    out = tmp_path_factory.mktemp("search") / "best.zip"
    return json_of("search", *SMALL, "--trials", "2", "-o", str(out))


def test_every_trial_says_how_fast_and_how_accurate_it_is_or_why_not(found):
    assert 1 <= len(found["trials"]) <= 2
    for trial in found["trials"]:
        assert trial["architecture"]
        assert trial["latency_source"] == "measured"
        assert trial["latency_ms"] > 0
        assert trial["reward"] is not None
        assert trial["accuracy"] is not None or trial["reason"]


def test_the_best_trial_keeps_the_limit_and_was_trained_to_the_end(found):
    assert found["best"]["latency_ms"] <= 200
    assert found["best"]["status"] == "trained"
    assert 0 <= found["best"]["final_accuracy"] <= 1


def test_the_compiled_model_answers_as_torch_does_and_scores_what_the_run_says(found, tmp_path):
    import torch
    from safetensors.torch import load_file

    from data.tasks import evaluate, load_task
    from engine.architecture import Architecture
    from engine.encoder import Encoder
    from engine.teacher import load_teacher
    from engine.tokens import collate, encode

    task, teacher = load_task(TASK), load_teacher("minilm")
    batch = collate(encode(teacher.tokenizer, task.dev["text_a"][:], 32), seq_len=32)
    np.savez(tmp_path / "x.npz", **{name: tensor.numpy() for name, tensor in batch._asdict().items()})
    json_of("run", found["bundle"], "--inputs", str(tmp_path / "x.npz"), "--outputs", str(tmp_path / "y.npz"))
    encoder = Encoder(Architecture.parse(found["best"]["architecture"]), task.outputs).eval()
    folder = Path(os.environ["POCKETFORMER_HOME"]) / "runs" / found["run_id"] / str(found["best"]["trial"]) / "host"
    encoder.load_state_dict(load_file(str(folder / "weights.safetensors")))
    with torch.no_grad():
        expected = encoder(*batch).numpy()
    answers = np.load(tmp_path / "y.npz")["outputs"]
    assert np.abs(answers - expected).max() < 1e-3
    assert evaluate(task, answers)[task.metric] == pytest.approx(found["best"]["final_accuracy"], abs=0.01)


def test_the_main_jobs_own_check_passes(found):
    report = main_job.check(found["run_id"])
    missed = [name for name, (_, _, kept) in report.items() if not kept]
    assert set(missed) <= {"bundle's own bench (ms)"}  # a time, which other programs may change


def test_text_goes_in_and_scores_come_out(found):
    good, bad = (json_of("run", found["bundle"], "--text", sentence) for sentence in SENTENCES)
    assert sum(good["scores"].values()) == pytest.approx(1)
    assert good["scores"] != bad["scores"]


def test_the_unpacked_bundle_times_itself(found, tmp_path):
    with zipfile.ZipFile(found["bundle"]) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "bench").chmod(0o755)
    command = ["./bench", "--weights", "weights.bin", "--threads", "2"]
    facts = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert facts["runs"] >= 100
    assert 0.2 < facts["median_ms"] / found["best"]["latency_ms"] < 5  # the same machine, whatever else it does now


def test_where_its_time_goes_is_shown_kernel_by_kernel(found):
    result = json_of("bench", found["bundle"], "--profile", "--runs", "9")
    names = [each["name"] for each in result["kernels"]]
    assert (names[0], names[-1]) == ("embedding", "readout")
    assert "layer1.qkv" in names
    assert all(each["us"] > 0 for each in result["kernels"])
    shown = pocketformer("bench", found["bundle"], "--profile", "--runs", "9").stdout
    assert "GFLOP/s" in shown
    assert "ffn_down" in shown


def test_trials_of_the_run_are_listed_and_written_as_csv(found, tmp_path):
    csv = tmp_path / "trials.csv"
    listed = json_of("trials", found["run_id"], "--csv", str(csv))
    assert [trial["trial"] for trial in listed] == [trial["trial"] for trial in found["trials"]]
    assert len(csv.read_text().splitlines()) == len(listed) + 1
    front = json_of("trials", found["run_id"], "--pareto")
    assert 1 <= len(front) <= len(listed)


@pytest.mark.browser
def test_the_found_model_is_tried_downloaded_and_run_by_mouse(found, tmp_path):
    """The end of the whole story (`python -m benchmarks.story`), on the model that the search above has found."""
    with served_page(Path(os.environ["POCKETFORMER_HOME"])) as url, chromium() as browser, tab(browser, timeout_s=60) as page:
        page.goto(f"{url}/models?task={TASK}")
        settle(page)
        page.get_by_role("textbox", name="Sentence").fill(SENTENCES[0])
        page.get_by_role("button", name="Answer").click()
        page.get_by_text("Median of 11 runs").wait_for()
        page.get_by_text("is not fine-tuned on").wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile(r"^Bundle \(")).click()
        download.value.save_as(tmp_path / "bundle.zip")
    answer = json_of("run", str(tmp_path / "bundle.zip"), "--text", SENTENCES[0])
    assert set(answer["scores"]) == {"unacceptable", "acceptable"}


def test_the_pages_answering_process_answers_as_the_command_does_and_survives_bad_questions(found):
    answerer = Answerer()
    try:
        answer = answerer.ask("model", bundle=found["bundle"], text=SENTENCES[0], pair=None)
        assert answer["scores"] == pytest.approx(json_of("run", found["bundle"], "--text", SENTENCES[0])["scores"])
        assert answer["latency_ms"] > 0
        with pytest.raises(PocketformerError, match="takes one sentence"):
            answerer.ask("model", bundle=found["bundle"], text="One.", pair="Two.")
        with pytest.raises(PocketformerError, match="no bundle at"):
            answerer.ask("model", bundle="/no/such.zip", text="One.", pair=None)
        assert answerer._process is not None
        answerer._process.kill()
        answerer._process.wait()
        assert answerer.ask("model", bundle=found["bundle"], text=SENTENCES[0], pair=None)["scores"] == answer["scores"]
    finally:
        answerer.close()


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_the_found_model_is_exported_and_answers_alike(found, tmp_path, suffix):
    out = tmp_path / f"model{suffix}"
    exported = json_of("export", found["run_id"], "-o", str(out))
    assert exported["bytes"] == out.stat().st_size
    if suffix == ".onnx":
        import onnxruntime

        from compiler.bundle import read_bundle

        bundle = read_bundle(Path(found["bundle"]))
        inputs = tokenised(bundle, SENTENCES[0], None)
        padded = {name: np.pad(array, ((0, 0), (0, bundle.seq_len - array.shape[1]))) for name, array in inputs.items()}
        logits = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"]).run(None, padded)[0][0]
        assert logits == pytest.approx(json_of("run", found["bundle"], "--text", SENTENCES[0])["logits"], abs=1e-3)
    else:
        from safetensors import safe_open

        with safe_open(str(out), "np") as weights:
            assert weights.metadata()["architecture"] == found["best"]["architecture"]


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """`pocketformer serve` on a free port; its address and process."""
    port, log = free_port(), home / "serve.log"
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=environment_of(home), stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def kill_child(server: subprocess.Popen, name: str) -> None:
    """SIGKILL to one of `serve`'s processes."""
    for child in psutil.Process(server.pid).children():
        if PROCESS_NAMES[name] in " ".join(child.cmdline()):
            child.kill()
            return
    pytest.fail(f"serve has no process {name}")


def wait_until(condition: Callable[[], bool], what: str, account: Callable[[], str], timeout_s: float = 400) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s\n{account()}"
        time.sleep(0.5)


@pytest.mark.browser
def test_two_searches_started_in_browsers_survive_every_kill_and_end_in_a_download(tmp_path, monkeypatch):
    require_chromium()
    home = Path(os.environ["POCKETFORMER_HOME"])  # with the kernels and bodies that the search above has cached
    from data.store import open_store

    form = f"task={TASK}&latency_ms=200&trials=2&distil_seconds=4&final_epochs=1&seq_len=32&depths=1,2&ffn_sizes=384"
    with serving(home) as (address, server), chromium() as browser:
        monkeypatch.setenv("STORE_URL", "local")
        with tab(browser, timeout_s=60) as first, tab(browser, timeout_s=60) as second, open_store() as store:
            known = {run.run_id for run in store.runs()}
            for page, precision in ((first, "fp32"), (second, "int8")):
                page.goto(f"{address}/search?{form}&precision={precision}")
                settle(page)
                page.get_by_role("button", name="Start", exact=True).click()
                page.wait_for_url("**/run?run=*")
            started = [run.run_id for run in store.runs() if run.run_id not in known]
            assert len(started) == 2

            def account() -> str:
                events = [f"{event.at:%T} {run_id} {event.message}" for run_id in started for event in store.events(run_id)]
                return "\n".join([*events, (home / "serve.log").read_text(errors="replace")[-3000:]])

            for name in PROCESS_NAMES:
                done = sum(len(store.commands(run_id, status="done")) for run_id in started)
                kill_child(server, name)
                wait_until(
                    lambda done=done: (
                        sum(len(store.commands(run_id, status="done")) for run_id in started) > done
                        or all(store.run(run_id).over for run_id in started)
                    ),
                    f"progress after the end of {name}",
                    account,
                )
            wait_until(lambda: all(store.run(run_id).over for run_id in started), "the end of both runs", account)
            for run_id in started:
                assert store.run(run_id).status == "done", store.run(run_id).error
                numbers = [trial.trial for trial in store.trials(run_id)]
                assert numbers == sorted(set(numbers))
            button = first.get_by_role("button", name="Download bundle")
            button.wait_for()
            with first.expect_download() as download:
                button.click()
            path = tmp_path / "bundle.zip"
            download.value.save_as(path)
    assert json_of("run", str(path), "--text", SENTENCES[0])["scores"]
