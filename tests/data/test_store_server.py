"""The store as several processes meet it: one owner, clients that outlive its crashes, nothing lost, nothing written twice."""

import json
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
from store_processes import Server, run_python

from data.errors import StoreError
from data.store import Command, Note, Trial, open_store

# Each loop of this client is one step of a search and one line of the log; it says on standard output what was acknowledged.
WRITER = """
import sys
from data.store import Note, Trial, open_store
name, steps = sys.argv[1], int(sys.argv[2])
with open_store() as store:
    for i in range(steps):
        while True:
            run = store.run("r")
            trial = Trial("r", run.state_version, 1, f"L{i + 1}-H256-A4-F1024", reason=f"{name} {i}")
            state = {"last": name, "count": run.state["count"] + 1}
            if store.commit_step("r", run.state_version, state=state, trials=[trial], events=[Note(f"step {name} {i}")]):
                break
        store.log("r", f"line {name} {i}")
        print(f"{name} {i}", flush=True)
"""

CLAIMER = """
import sys
from data.store import open_store
with open_store() as store:
    print("ready", flush=True)
    sys.stdin.readline()
    print(sum(store.claim(f"c{i}", sys.argv[1]) is not None for i in range(20)))
"""


def test_killed_server_loses_and_doubles_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three writers, the server killed three times under them: every step and line is there once, and every step whole."""
    monkeypatch.setenv("STORE_URL", "local")
    with open_store() as store:
        store.create_run("r", {}, {"count": 0})
        writers = [run_python("-c", WRITER, name, "15") for name in ("a", "b", "c")]
        for _ in range(3):
            time.sleep(0.6)
            server.kill()
            server.start()
        for writer in writers:
            output, errors = writer.communicate(timeout=120)
            assert writer.returncode == 0, errors
            assert len(output.splitlines()) == 15
        run, trials, events = store.run("r"), store.trials("r"), store.events("r")
    everything = {f"{name} {i}" for name in ("a", "b", "c") for i in range(15)}
    assert run.state_version == 45
    assert run.state == {"last": run.state["last"] if run.state else "", "count": 45}
    assert [trial.trial for trial in trials] == list(range(45))
    assert {trial.reason for trial in trials} == everything
    assert [event.seq for event in events] == list(range(1, 91))
    assert {event.message for event in events} == {f"{kind} {one}" for kind in ("step", "line") for one in everything}


def test_killed_client_leaves_no_transaction_open(server: Server) -> None:
    """A writer killed at any moment does not block the others: its half-sent step is rolled back by the server."""
    with open_store() as store:
        store.create_run("r", {}, {"count": 0})
        for _ in range(3):
            writer = run_python("-c", WRITER, "a", "1000")
            assert writer.stdout
            writer.stdout.readline()
            time.sleep(0.1)
            writer.kill()
            writer.communicate()
            while True:  # the dead writer's last request may be under way on the server
                run = store.run("r")
                if store.commit_step("r", run.state_version, state={"count": run.state_version + 1}, events=[Note("after")]):
                    break
        run, events = store.run("r"), store.events("r", limit=10_000)
    assert run.state == {"count": run.state_version}
    assert [event.message for event in events].count("after") == 3


def test_one_of_several_processes_claims(server: Server) -> None:
    """Four processes race for twenty commands: each command goes to one of them."""
    with open_store() as store:
        store.create_run("r", {})
        store.commit_step("r", 0, state=None, commands=[Command(f"c{i}", "r", i, "train") for i in range(20)])
        claimers = [run_python("-c", CLAIMER, f"w{i}") for i in range(4)]
        for claimer in claimers:
            assert claimer.stdout
            assert claimer.stdout.readline() == "ready\n"
        for claimer in claimers:
            assert claimer.stdin
            claimer.stdin.write("\n")
            claimer.stdin.flush()
        won = [int(claimer.communicate(timeout=60)[0]) for claimer in claimers]
        commands = store.commands("r")
    assert sum(won) == 20
    assert [command.attempts for command in commands] == [1] * 20
    assert sorted(won) == sorted(sum(command.worker == f"w{i}" for command in commands) for i in range(4))


def test_owner_keeps_others_out(state_folder: Path) -> None:
    """A process that works with the file itself cannot be joined by a server, nor by another owner: one line each."""
    with open_store() as store, open_store() as same_process:
        store.create_run("r", {})
        assert same_process.run("r").run_id == "r"
        second = run_python("-c", "from data.store import open_store; open_store()")
        assert "works with the store" in second.communicate()[1].splitlines()[-1]
        serving = run_python("-m", "data.store_server")
        output, errors = serving.communicate()
        assert (serving.returncode, output) == (1, "")
        assert len(errors.splitlines()) == 1
        assert "works with the store" in errors
        same_process.close()
        store.log("r", "still open")
    with open_store() as store:
        assert [event.message for event in store.events("r")] == ["still open"]


def test_second_server_is_refused(server: Server) -> None:
    second = run_python("-m", "data.store_server")
    _, errors = second.communicate()
    assert second.returncode == 1
    assert len(errors.splitlines()) == 1
    assert "already" in errors


def test_server_keeps_its_secret_and_its_door(server: Server) -> None:
    """Only the user can read the token; it is not logged; the server listens on this machine alone and reads no other file."""
    path = server.folder / "store.json"
    served = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((server.folder / "store.duckdb").stat().st_mode) == 0o600
    assert served["url"].startswith("quack:127.0.0.1:")
    with open_store() as store, pytest.raises(StoreError) as refused:
        store._run("SELECT content FROM read_text('/etc/hostname')")
    assert served["token"] not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert server.stop() == 0
    assert server.process
    assert not path.exists()


def test_stale_server_file_is_recognised(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGKILL, store.json names a dead server: the next process opens the file itself and finds every row."""
    monkeypatch.setattr("data.quack.RESTART_GRACE_S", 0.2)
    with open_store() as store:
        store.create_run("r", {})
    server.kill()
    assert (server.folder / "store.json").exists()
    with open_store() as store:
        assert store.run("r").run_id == "r"
        assert not (server.folder / "store.json").exists()


def test_killed_server_gets_its_file_back(server: Server) -> None:
    """Who opens the store while its server is being started again becomes a client, not the owner."""
    server.kill()
    back = threading.Timer(0.5, server.start, kwargs={"keep_file": True})
    back.start()
    with open_store() as store:
        store.create_run("r", {})
        back.join()
        assert server.process
        assert server.process.poll() is None


def test_client_waits_for_the_server(server: Server) -> None:
    """A call made while the server is away is answered when it is back, at another port and with another token."""
    with open_store() as store:
        store.create_run("r", {})
        before = json.loads((server.folder / "store.json").read_text())
        server.kill()
        back = threading.Timer(1.0, server.start)
        back.start()
        store.log("r", "written after the restart")
        back.join()
        after = json.loads((server.folder / "store.json").read_text())
        assert before["token"] != after["token"]
        assert [event.message for event in store.events("r")] == ["written after the restart"]


def test_client_of_a_server_that_stays_away(server: Server) -> None:
    with open_store(wait_s=0.5) as store:
        server.kill()
        with pytest.raises(StoreError, match=r"did not answer.*pocketformer serve") as error:
            store.runs()
        assert "\n" not in str(error.value)


def test_store_url(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker elsewhere: its own state folder, the server by URL and token; and the ways to get these wrong. No proxy is asked."""
    served = json.loads((server.folder / "store.json").read_text())
    monkeypatch.setenv("POCKETFORMER_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("STORE_URL", served["url"])
    with pytest.raises(StoreError, match="STORE_TOKEN"):
        open_store()
    monkeypatch.setenv("STORE_TOKEN", "not the token")
    with pytest.raises(StoreError, match="does not accept STORE_TOKEN"):
        open_store()
    monkeypatch.setenv("STORE_TOKEN", served["token"])
    with open_store() as store:
        store.create_run("r", {})
        server.kill()
        server.start()  # it takes the token that STORE_TOKEN gives it, but has another port
    with pytest.raises(StoreError, match="did not answer"):
        open_store(wait_s=0.2)
    monkeypatch.setenv("STORE_URL", json.loads((server.folder / "store.json").read_text())["url"])
    with open_store() as store:
        assert store.run("r").run_id == "r"
    monkeypatch.setenv("STORE_URL", "http://127.0.0.1:80")
    with pytest.raises(StoreError, match="quack:HOST:PORT"):
        open_store()


def test_worker_beside_a_server_never_owns_the_file(state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_URL", "local")
    with pytest.raises(StoreError, match="did not answer"):
        open_store(wait_s=0.3)
    assert not (state_folder / "store.duckdb").exists()


def test_port_in_use(state_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        serving = run_python("-m", "data.store_server", "--port", str(taken.getsockname()[1]))
        _, errors = serving.communicate()
    assert serving.returncode == 1
    assert len(errors.splitlines()) == 1
    assert "cannot listen on port" in errors


def test_file_that_is_no_store(state_folder: Path) -> None:
    state_folder.mkdir()
    (state_folder / "store.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot open") as error:
        open_store()
    assert "\n" not in str(error.value)


def test_large_step(server: Server) -> None:
    """A controller's weights travel in the state: two megabytes and back."""
    state = {"weights": [i / 7 for i in range(100_000)]}
    with open_store() as store:
        store.create_run("r", {}, state)
        assert store.commit_step("r", 0, state=state, trials=[Trial("r", i, 1, "L1-H256-A4-F1024") for i in range(500)])
        assert store.run("r").state == state
        assert len(store.trials("r")) == 500
