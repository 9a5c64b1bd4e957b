"""Compiled kernels on disk, by content: a search, whose candidates share shapes, compiles and tunes each kernel once."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compiler.isa import Isa
from data.home import subfolder

OBJECT = "kernel.o"
FACTS = "facts.json"
SYMBOL_DIGITS = 16


@dataclass(frozen=True)
class CachedKernel:
    """An object file and what was found out about it.

    Attributes:
        facts: `tile` (fields of the schedule's tile), `symbol`, `time_us`, the same for every tile `tried`.
    """

    object: Path
    facts: dict[str, Any]


def kernel_key(spec: object, isa: Isa, threads: int, most_tiles: int | None = None, place: str = "") -> str:
    """Everything that the chosen object depends on: shapes, instruction set, threads it was tuned for, how many tiles may be tried and
    where, the schedules' own source, and TVM's version."""
    parts = (repr(spec), repr(isa), str(threads), str(most_tiles), place, _schedule_digest(), version("apache-tvm"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def find(key: str) -> CachedKernel | None:
    folder = _folder() / key
    try:
        facts = json.loads((folder / FACTS).read_text())
    except (OSError, ValueError):
        return None
    return CachedKernel(folder / OBJECT, facts) if (folder / OBJECT).is_file() else None


def put(key: str, compiled: Path, facts: dict[str, Any]) -> CachedKernel:
    """Keep a kernel; a folder appears whole or not at all, and the first of two processes wins."""
    folder = _folder() / key
    staging = Path(tempfile.mkdtemp(prefix=".new-", dir=_folder()))
    try:
        shutil.copyfile(compiled, staging / OBJECT)
        (staging / FACTS).write_text(json.dumps(facts, indent=1))
        if folder.is_dir() and find(key) is None:
            shutil.rmtree(folder, ignore_errors=True)
        os.rename(staging, folder)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if find(key) is None:
            raise
    return CachedKernel(folder / OBJECT, facts)


def kernels_kept() -> int:
    return sum(1 for _ in _folder().glob(f"*/{FACTS}"))


def forget_kernels() -> None:
    """Empty the cache, while nothing compiles."""
    shutil.rmtree(_folder())


@contextmanager
def compiling() -> Iterator[None]:
    """Held while missing kernels are made: a second process waits, and then finds them. Died holders release it."""
    descriptor = os.open(_folder() / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _folder() -> Path:
    return subfolder("cache", "kernels")


@cache
def _schedule_digest() -> str:
    here = Path(__file__).parent
    sources = sorted((here / "schedules").glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
