"""The store's server and the ways to reach it. DuckDB's own Quack protocol, from wheels: `duckdb-extension-quack` and -`httpfs`.

The owner of the file holds a lock on `home()/store.lock` for as long as it lives; the kernel lets go of it however the process
ends. A server also writes `home()/store.json` (URL, token, process id; readable by its user only): while nobody holds the lock,
that file is a dead server's.
"""

import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import duckdb

from data.backend import Backend, FileBackend, QuackBackend, first_line
from data.errors import StoreError
from data.home import home
from data.migrations import migrate, newest_version
from data.sql import bind

OWNER_THREADS = 2  # of the owner's DuckDB: the tables are small, and the cores are wanted for other things
HEALTH_CHECK_S = 5.0
RESTART_GRACE_S = 3.0
THIS_MACHINE = ("quack:127.0.0.1:", "quack:localhost:")
SERVING, WORKING = "serves", "works with"  # what the lock's holder does with the file

_owned: dict[Path, tuple[FileBackend, int]] = {}  # files this process has open, and how many stores use each
_owned_lock = threading.Lock()


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens, and the secret that it asks for. `fixed`: given by the user, not read from `store.json`."""

    url: str
    token: str
    fixed: bool = False


def connect(path: str, threads: int) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that speaks Quack. Both ends need httpfs: a server without it answers a bare HTTP error 500."""
    connection = duckdb.connect(path, config={"threads": threads})
    for name in ("httpfs", "quack"):
        folder = files(f"duckdb_extension_{name}") / "extensions" / f"v{duckdb.__version__}"
        connection.execute(bind("LOAD $path", path=str(folder / f"{name}.duckdb_extension")))
    return connection


def open_backend(wait_s: float) -> Backend:
    """The backend that `STORE_URL` and `POCKETFORMER_HOME` ask for: see `data.store.open_store`."""
    folder, url = home(), os.environ.get("STORE_URL", "")
    if url in ("", "local"):
        if not url:
            _await_restart(folder)
            with _owned_lock:
                if backend := _own_file(folder):
                    return backend
            if (holder := _holder(folder)).endswith(WORKING):
                raise StoreError(f"{holder} the store in {folder}; wait until it ends, or share the store: pocketformer serve")
        return _client(_served_here(folder), True, wait_s)
    token = os.environ.get("STORE_TOKEN", "")
    if not url.startswith("quack:") or not token:
        raise StoreError("STORE_URL is to be quack:HOST:PORT, or local, and STORE_TOKEN the token of that server's store.json")
    endpoint = Endpoint(url, token, fixed=True)
    return _client(lambda: endpoint, url.startswith(THIS_MACHINE), wait_s)


def serve(port: int) -> None:
    """Own the file and serve it until SIGTERM or SIGINT: see `data.store.serve_store`."""
    folder = home()
    release = _lock(folder, SERVING)
    if not release:
        raise StoreError(f"{_holder(folder)} the store in {folder} already; stop that process first")
    try:
        port = _free_port(port)
        connection = _open_file(folder)
        url, token = f"quack:127.0.0.1:{port}", os.environ.get("STORE_TOKEN") or secrets.token_urlsafe(32)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        connection.execute(bind("CALL quack_serve($url, token = $token)", url=url, token=token)).fetchall()
        _write_private(folder / "store.json", json.dumps({"url": url, "token": token, "pid": os.getpid()}))
        print(f"store: serving {folder / 'store.duckdb'} on 127.0.0.1:{port}", file=sys.stderr, flush=True)
        try:
            while not stop.wait(HEALTH_CHECK_S):
                connection.execute("SELECT 1 FROM schema_versions").fetchall()
        except duckdb.Error as error:  # a database that met a full disk or a fault answers nobody until it is opened again
            raise StoreError(f"the store's server cannot go on: {first_line(error)}") from None
        finally:
            (folder / "store.json").unlink(missing_ok=True)
        connection.execute(bind("CALL quack_stop($url)", url=url)).fetchall()
        connection.close()
    finally:
        release()


def _client(locate: Callable[[], Endpoint | None], this_machine: bool, wait_s: float) -> QuackBackend:
    """A client of a server that answers and has the schema that this code writes."""
    backend = QuackBackend(locate, this_machine, wait_s)
    try:
        rows = backend.run("SELECT max(version) FROM schema_versions")
        if rows != [(newest_version(),)]:
            raise StoreError(
                f"the store's server has schema version {rows[0][0]}, this is for {newest_version()}; restart the older one"
            )
    except BaseException:
        backend.close()
        raise
    return backend


def _served_here(folder: Path) -> Callable[[], Endpoint | None]:
    """Finds the server of this `POCKETFORMER_HOME`, again after each restart, as its port and token change."""
    seen: tuple[int, Endpoint] | None = None

    def locate() -> Endpoint | None:
        nonlocal seen
        path = folder / "store.json"
        try:
            changed = path.stat().st_mtime_ns
            if not seen or seen[0] != changed:
                found = json.loads(path.read_text(encoding="utf-8"))
                seen = changed, Endpoint(found["url"], found["token"])
            return seen[1]
        except (OSError, ValueError, KeyError):
            seen = None
            return None

    return locate


def _await_restart(folder: Path) -> None:
    """A server that was killed is mostly started again at once by its supervisor; to take its file meanwhile would keep it out."""
    deadline = time.monotonic() + RESTART_GRACE_S
    with suppress(OSError, ValueError, KeyError):
        while (
            not _alive(json.loads((folder / "store.json").read_text(encoding="utf-8"))["pid"]) and time.monotonic() < deadline
        ):
            time.sleep(0.05)


def _own_file(folder: Path) -> FileBackend | None:
    """The file's backend when this process may own it. Several stores of one process share it; the last one closed lets go."""
    if folder in _owned:
        backend, users = _owned[folder]
        _owned[folder] = backend, users + 1
        return backend
    release = _lock(folder, WORKING)
    if not release:
        return None

    def close() -> bool:
        with _owned_lock:
            backend, users = _owned.pop(folder)
            if users > 1:
                _owned[folder] = backend, users - 1
                return False
            return True

    (folder / "store.json").unlink(missing_ok=True)  # a dead server's
    try:
        backend = FileBackend(_open_file(folder), close, release)
    except BaseException:
        release()
        raise
    _owned[folder] = backend, 1
    return backend


def _open_file(folder: Path) -> duckdb.DuckDBPyConnection:
    """The file, opened and with the newest schema."""
    path = folder / "store.duckdb"
    try:
        connection = connect(str(path), OWNER_THREADS)
    except duckdb.Error as error:
        raise StoreError(f"cannot open {path} as the store: {first_line(error)}") from None
    try:
        path.chmod(0o600)
        migrate(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, duckdb.Error):
            raise StoreError(f"cannot bring {path} to the newest schema: {first_line(error)}") from None
        raise
    return connection


def _lock(folder: Path, role: str) -> Callable[[], None] | None:
    """Take the owner's lock, saying what for; returns what releases it, or None when another process has it."""
    descriptor = os.open(folder / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} {role}".encode(), 0)
    return lambda: os.close(descriptor)


def _holder(folder: Path) -> str:
    """Who has the owner's lock, as `process 123 serves`. A name that is missing or of a dead process is not yet written: wait."""
    for _ in range(50):
        holder = (folder / "store.lock").read_text(encoding="utf-8")
        if holder and _alive(int(holder.split()[1])):
            return holder
        time.sleep(0.02)
    return f"another process {SERVING}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def _free_port(port: int) -> int:
    """The port asked for, or any free one. Asked here, as Quack would share a port in use with whoever listens there.

    Raises:
        StoreError: the port is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StoreError(
                f"the store cannot listen on port {port}: {error.strerror}; give another, or 0 for a free one"
            ) from None
        return int(probe.getsockname()[1])


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its user may read, whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
