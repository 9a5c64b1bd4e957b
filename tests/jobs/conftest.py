"""A state folder and a store in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data.store import Store, open_store


@pytest.fixture
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `POCKETFORMER_HOME`, with nothing named by the environment."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("POCKETFORMER_HOME", str(folder))
    for name in ("STORE_URL", "STORE_TOKEN", "REDIS_URL", "ARTIFACTS_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def store(state_folder: Path) -> Iterator[Store]:
    with open_store() as store:
        yield store
