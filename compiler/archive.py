"""Zip files that are equal byte for byte when their members are, and that appear whole or not at all."""

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

from data.errors import PocketformerError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date a zip can hold


def write_archive(out_path: Path, members: Mapping[str, bytes | Path], executable: Collection[str] = ()) -> Path:
    """Members by name, each the content or a file that has it; the folder of `out_path` is made. They are stored, not deflated: fp32
    weights barely shrink.

    Raises:
        PocketformerError: the disk is full or the place is not writable.
    """
    out_path = Path(out_path)
    try:
        out_path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=out_path.parent, prefix=f".{out_path.name}.")
        os.close(descriptor)
        try:
            with zipfile.ZipFile(part, "w") as archive:
                for name in sorted(members):
                    _add(archive, name, members[name], 0o755 if name in executable else 0o644)
            Path(part).chmod(0o644)
            os.replace(part, out_path)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise PocketformerError(
            f"cannot write {out_path}: {error.strerror}; free some space or choose another place"
        ) from error
    return out_path


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path, mode: int) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = (stat.S_IFREG | mode) << 16
    info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size  # decides between zip's two forms
    with archive.open(info, "w") as member:
        if isinstance(content, bytes):
            member.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, member, 1 << 20)
