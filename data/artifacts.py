"""Files that runs make, kept by content on an fsspec URL: a folder, or a bucket that several machines share.

A file lies at `sha256[:2]/sha256` below the URL. It is written under another name and moved into place, so that what has the
name of its hash is whole; reading checks the hash again.
"""

import errno
import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO

from data.errors import ArtifactError
from data.home import home

CHUNK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Artifacts:
    """The artifacts at an fsspec URL: `ARTIFACTS_URL`, by default the folder `artifacts` of `POCKETFORMER_HOME`.

    Raises:
        ArtifactError: an URL of a kind that fsspec does not know, or whose driver is not installed.
    """

    def __init__(self, url: str | None = None) -> None:
        import fsspec

        self.url = url or os.environ.get("ARTIFACTS_URL") or str(home() / "artifacts")
        try:
            self._files, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ArtifactError(f"cannot use {self.url} for artifacts: {error}") from None
        self._root = root.rstrip("/")

    def put(self, path: Path, name: str, kind: str) -> str:
        """Keep a file; returns its SHA-256, by which it is found. One that is there already is not written again.

        Args:
            name: what a user calls it; only said in errors, the store has it.
            kind: what it is, as `bundle` or `weights`.

        Raises:
            ArtifactError: it cannot be read or written (disk full); nothing is left behind.
        """
        try:
            sha256 = hash_of(path)
            target = self._path(sha256)
            if self._files.exists(target) and self._files.size(target) == path.stat().st_size:
                return sha256
            part = f"{self._root}/parts/{secrets.token_hex(8)}"
            self._files.makedirs(f"{self._root}/parts", exist_ok=True)
            self._files.makedirs(self._files._parent(target), exist_ok=True)
            try:
                with path.open("rb") as source, self._files.open(part, "wb") as kept:
                    written = _copy(source, kept)
                if written != sha256:
                    raise ArtifactError(f"{kind} {name} changed while it was being kept; keep it again")
                self._files.mv(part, target)
            except BaseException:
                with suppress(Exception):
                    self._files.rm(part)
                raise
        except OSError as error:
            raise ArtifactError(f"cannot keep {kind} {name} at {self.url}: {_reason(error)}") from None
        return sha256

    def open(self, sha256: str) -> IO[bytes]:
        """An artifact, open for reading; its content is not checked.

        Raises:
            ArtifactError: it is not there, or cannot be read.
        """
        try:
            return self._files.open(self._path(sha256), "rb")
        except OSError as error:
            raise self._unreadable(sha256, error) from None

    def get(self, sha256: str, destination: Path) -> Path:
        """Copy an artifact to a file, which is there whole or not at all, and as it was kept.

        Raises:
            ArtifactError: it is not there, is damaged, or the file cannot be written.
        """
        destination.parent.mkdir(parents=True, exist_ok=True)
        part = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
        try:
            with self.open(sha256) as kept, part.open("wb") as file:
                if _copy(kept, file) != sha256:
                    raise ArtifactError(f"artifact {sha256[:12]} at {self.url} is damaged; remove it there and run again")
            part.replace(destination)
        except OSError as error:
            raise ArtifactError(f"cannot write {destination}: {_reason(error)}") from None
        finally:
            part.unlink(missing_ok=True)
        return destination

    def size(self, sha256: str) -> int:
        """An artifact's bytes.

        Raises:
            ArtifactError: it is not there.
        """
        try:
            return int(self._files.size(self._path(sha256)))
        except OSError as error:
            raise self._unreadable(sha256, error) from None

    def remove(self, sha256: str) -> int:
        """Take an artifact away; its bytes, 0 when it was not there.

        Raises:
            ArtifactError: it cannot be removed.
        """
        path = self._path(sha256)
        try:
            size = int(self._files.size(path))
            self._files.rm(path)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise ArtifactError(f"cannot remove artifact {sha256[:12]} at {self.url}: {_reason(error)}") from None
        return size

    def sizes(self) -> dict[str, int]:
        """Bytes of every artifact kept, by its hash."""
        found = self._files.find(self._root, detail=True) if self._files.exists(self._root) else {}
        names = ((path.rsplit("/", 1)[-1], facts["size"]) for path, facts in found.items())
        return {name: int(size) for name, size in names if _SHA256.fullmatch(name)}

    def _path(self, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise ArtifactError(f"'{sha256}' is not the SHA-256 of an artifact")
        return f"{self._root}/{sha256[:2]}/{sha256}"

    def _unreadable(self, sha256: str, error: OSError) -> ArtifactError:
        if isinstance(error, FileNotFoundError):
            return ArtifactError(
                f"there is no artifact {sha256[:12]} at {self.url}; was ARTIFACTS_URL another when it was made?"
            )
        return ArtifactError(f"cannot read artifact {sha256[:12]} at {self.url}: {_reason(error)}")


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copies all of it; the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space and run again"
    return error.strerror or str(error)
