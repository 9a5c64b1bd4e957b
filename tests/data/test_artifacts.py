"""Artifacts are found by their content, and are whole or not there."""

import errno
import hashlib
from pathlib import Path

import pytest

from data.artifacts import Artifacts
from data.errors import ArtifactError

CONTENT = b"bundle" * 500_000


@pytest.fixture(params=["folder", "memory"])
def artifacts(request: pytest.FixtureRequest, state_folder: Path) -> Artifacts:
    return Artifacts(None if request.param == "folder" else f"memory://{state_folder.parent.name}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.zip"
    path.write_bytes(CONTENT)
    return path


def kept(folder: Path) -> list[Path]:
    return [path for path in (folder / "artifacts").rglob("*") if path.is_file()]


def test_put_and_get(artifacts: Artifacts, file: Path, tmp_path: Path) -> None:
    sha256 = artifacts.put(file, "model.zip", "bundle")
    assert sha256 == hashlib.sha256(CONTENT).hexdigest() == artifacts.put(file, "again.zip", "bundle")
    assert artifacts.size(sha256) == len(CONTENT)
    with artifacts.open(sha256) as opened:
        assert opened.read(6) == b"bundle"
    copy = artifacts.get(sha256, tmp_path / "deep" / "copy.zip")
    assert copy.read_bytes() == CONTENT
    assert [path.name for path in copy.parent.iterdir()] == ["copy.zip"]


def test_missing(artifacts: Artifacts, tmp_path: Path) -> None:
    for call in (artifacts.open, artifacts.size, lambda sha256: artifacts.get(sha256, tmp_path / "x")):
        with pytest.raises(ArtifactError, match="there is no artifact 000000000000"):
            call("0" * 64)
        with pytest.raises(ArtifactError, match="not the SHA-256"):
            call("../../etc/passwd")
    assert not (tmp_path / "x").exists()


def test_damaged_content_is_not_handed_out(state_folder: Path, file: Path, tmp_path: Path) -> None:
    artifacts = Artifacts()
    sha256 = artifacts.put(file, "model.zip", "bundle")
    kept(state_folder)[0].write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ArtifactError, match="is damaged"):
        artifacts.get(sha256, tmp_path / "copy.zip")
    assert not (tmp_path / "copy.zip").exists()
    kept(state_folder)[0].write_bytes(CONTENT[:10])
    assert artifacts.put(file, "model.zip", "bundle") == sha256
    assert kept(state_folder)[0].read_bytes() == CONTENT


def test_full_disk_leaves_nothing(state_folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    artifacts = Artifacts()
    monkeypatch.setattr("data.artifacts._copy", full)
    with pytest.raises(ArtifactError, match=r"cannot keep bundle model.zip at .*: the disk is full") as error:
        artifacts.put(file, "model.zip", "bundle")
    assert "\n" not in str(error.value)
    assert kept(state_folder) == []


def test_other_places(state_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path) -> None:
    monkeypatch.setenv("ARTIFACTS_URL", f"file://{tmp_path}/elsewhere")
    Artifacts().put(file, "model.zip", "bundle")
    assert len(list((tmp_path / "elsewhere").rglob("*"))) >= 2
    with pytest.raises(ArtifactError, match="cannot use nothing://x"):
        Artifacts("nothing://x")
    with pytest.raises(ArtifactError, match="cannot keep weights"):
        Artifacts().put(tmp_path / "missing", "w", "weights")
