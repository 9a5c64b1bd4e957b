"""Removal of runs, of what no run has, and of caches: what goes, what stays, and what is refused."""

from pathlib import Path

import pytest

from data.artifacts import Artifacts
from data.errors import StoreError, UsageError
from data.home import home, subfolder
from data.records import ArtifactRef, Command, Measurement, Trial
from data.removal import clear_cache, orphans, remove_orphans, remove_run, usage
from data.store import Store, open_store


@pytest.fixture
def store(fresh_home):
    with open_store() as opened:
        yield opened


def keep(store: Store, run_id: str, content: bytes) -> str:
    path = home() / "file"
    path.write_bytes(content)
    sha256 = Artifacts().put(path, "b.zip", "bundle")
    store.add_artifact(ArtifactRef(sha256, "b.zip", "bundle", len(content), run_id, 1))
    return sha256


def begin(store: Store, run_id: str, status: str = "done") -> str:
    """A run with a trial, a command whose result names weights, a measurement, an artifact and a scratch file."""
    store.create_run(run_id, {"latency_ms": 5.0}, {})
    train = Command(f"{run_id}.1.final_train", run_id, 1, "final_train")
    store.commit_step(run_id, 0, state={}, trials=[Trial(run_id, 1, 1, "L1-H256-A4-F1024")], commands=[train])
    weights = home() / "weights"
    weights.write_bytes(b"weights of " + run_id.encode())
    store.claim(train.command_id, "w")
    store.finish(train.command_id, "w", {"weights_sha256": Artifacts().put(weights, "w", "weights")})
    store.add_measurement(Measurement("L1", "host", "fp32", 1, 128, 1.0, None, None, 9, "measured", run_id=run_id, trial=1))
    (subfolder("runs", run_id) / "log").write_bytes(b"x" * 100)
    store.commit_step(run_id, 1, state={}, status=status)
    return run_id


def test_a_removed_run_is_gone_with_its_files_and_leaves_its_measurements(store: Store) -> None:
    first, second = begin(store, "a"), begin(store, "b")
    shared, own = keep(store, first, b"shared"), keep(store, first, b"own")
    keep(store, second, b"shared")
    assert remove_run(store, first) == len(b"own") + len(b"weights of a") + 100
    with pytest.raises(StoreError, match="no run 'a'"):
        store.run(first)
    assert store.trials(first) == store.commands(first) == store.artifacts(first) == []
    assert [(each.run_id, each.trial) for each in store.measurements()] == [("b", 1), (None, None)]
    kept = Artifacts().sizes()
    assert shared in kept
    assert own not in kept
    assert not (home() / "runs" / first).exists()
    assert store.run(second).status == "done"


def test_a_run_under_way_is_not_removed(store: Store) -> None:
    run_id = begin(store, "a", "running")
    with pytest.raises(StoreError, match="cancel it first"):
        remove_run(store, run_id)
    train = Command("a.2.train", run_id, 2, "train")
    store.commit_step(run_id, 2, state={}, commands=[train])
    store.claim(train.command_id, "w")
    store.commit_step(run_id, 3, state={}, status="cancelled", stop=[train.command_id])
    with pytest.raises(StoreError, match="a worker still has work"):
        remove_run(store, run_id)
    assert len(store.trials(run_id)) == 1
    store.finish(train.command_id, "w", stopped=True)
    assert remove_run(store, run_id) > 0


def test_what_no_run_has_is_found_and_removed(store: Store) -> None:
    begin(store, "a")
    subfolder("runs", "lost")
    (home() / "file").write_bytes(b"lost")
    lost = Artifacts().put(home() / "file", "b.zip", "bundle")
    assert orphans(store, usage()) == ([lost], ["lost"])
    assert remove_orphans(store) == 4
    assert orphans(store, usage()) == ([], [])
    assert len(Artifacts().sizes()) == 1


def test_caches_are_cleared_only_while_nothing_is_searched(store: Store) -> None:
    (subfolder("cache", "kernels") / "one").write_bytes(b"x" * 50)
    run_id = begin(store, "a", "running")
    with pytest.raises(UsageError, match="under way"):
        clear_cache(store, "kernels")
    with pytest.raises(UsageError, match="under way"):
        remove_orphans(store)
    store.commit_step(run_id, 2, state={}, status="done")
    assert usage().caches == {"kernels": 50}
    assert clear_cache(store, "kernels") == 50
    for name in ("", "..", "../runs", "nothing"):
        with pytest.raises(UsageError, match="no cache"):
            clear_cache(store, name)
    assert Path(home() / "runs" / "a").is_dir()
