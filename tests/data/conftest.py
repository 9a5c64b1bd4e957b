"""A state folder for each test, and a store's server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_processes import Server


@pytest.fixture
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `POCKETFORMER_HOME`, and no store named by the environment."""
    folder = tmp_path / "state"
    monkeypatch.setenv("POCKETFORMER_HOME", str(folder))
    for name in ("STORE_URL", "STORE_TOKEN", "ARTIFACTS_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def server(state_folder: Path) -> Iterator[Server]:
    server = Server(state_folder)
    server.start()
    yield server
    if server.process and server.process.poll() is None:
        server.kill()
