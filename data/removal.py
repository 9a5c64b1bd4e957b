"""What runs have left on disk, and how to get rid of it: a run with its artifacts and scratch files, caches, and what no run has."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data.artifacts import Artifacts
from data.errors import ArtifactError, UsageError
from data.home import home, subfolder
from data.store import Store

CACHES = {  # folders below `cache`, and what each saves
    "kernels": "compiled kernels; a search compiles the same one once",
    "trunks": "distilled bodies that candidates inherit their weights from",
    "supernets": "networks that candidates share",
    "teachers": "teachers' outputs",
    "bundles": "bundles unpacked to be run",
    "zig": "the cross compiler's library",
}
MOST_RUNS = 100_000


@dataclass(frozen=True)
class Usage:
    """Bytes below the state folder, by what they are for."""

    store: int
    artifacts: dict[str, int]  # by hash
    scratch: dict[str, int]  # by run
    caches: dict[str, int]  # by folder


def usage() -> Usage:
    """Looks at every file below the state folder; a moment's work for thousands."""
    store = sum(path.stat().st_size for path in home().glob("store.duckdb*"))
    scratch = {path.name: folder_bytes(path) for path in sorted(subfolder("runs").iterdir()) if path.is_dir()}
    caches = {path.name: folder_bytes(path) for path in sorted(subfolder("cache").iterdir()) if path.is_dir()}
    return Usage(store, Artifacts().sizes(), scratch, caches)


def remove_run(store: Store, run_id: str) -> int:
    """Remove a run that is over: from the store, then its artifacts that no other run has, then its scratch files; bytes freed on disk.

    Broken off, it leaves files of no run, which `remove_orphans` finds.

    Raises:
        StoreError: as `Store.remove_run`.
        ArtifactError: a file cannot be removed.
    """
    artifacts = Artifacts()
    freed = sum(artifacts.remove(sha256) for sha256 in store.remove_run(run_id))
    return freed + _remove_folder(home() / "runs" / run_id)


def orphans(store: Store, found: Usage) -> tuple[list[str], list[str]]:
    """Artifacts and scratch folders that belong to no run of the store: (hashes, run ids)."""
    known = store.artifact_hashes()
    runs = {run.run_id for run in store.runs(limit=MOST_RUNS)}
    return [each for each in found.artifacts if each not in known], [each for each in found.scratch if each not in runs]


def remove_orphans(store: Store) -> int:
    """Remove what `orphans` finds; bytes freed. Not while a search is under way, whose newest files the store may not know yet.

    Raises:
        UsageError: a run is not over.
        ArtifactError: a file cannot be removed.
    """
    if store.open_runs():
        raise UsageError("a search is under way, whose newest files look like nobody's; wait until it is over")
    hashes, run_ids = orphans(store, usage())
    artifacts = Artifacts()
    return sum(map(artifacts.remove, hashes)) + sum(_remove_folder(home() / "runs" / run_id) for run_id in run_ids)


def clear_cache(store: Store, name: str) -> int:
    """Empty one of the caches; bytes freed. What it saves is made anew when it is needed.

    Raises:
        UsageError: no such cache; a search is under way, which may be reading it.
        ArtifactError: a file cannot be removed.
    """
    found = [path for path in subfolder("cache").iterdir() if path.name == name]
    if not found:
        raise UsageError(f"there is no cache '{name}'")
    if store.open_runs():
        raise UsageError("a search is under way, which may need the cache; wait until it is over, or cancel it")
    return _remove_folder(found[0])


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; a file that goes away meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size if path.is_file() else 0
    return total


def _remove_folder(folder: Path) -> int:
    size = folder_bytes(folder) if folder.is_dir() else 0
    try:
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise ArtifactError(f"cannot remove {folder}: {error.strerror}") from None
    return size
