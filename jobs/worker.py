"""A worker process: `python -m jobs.worker train`, `python -m jobs.worker compile measure`. It takes one command at a time.

The solo pool runs work in the main thread: torch's threads and a forking pool would deadlock. On SIGTERM the work under way
is broken off and its command goes back to the queue.
"""

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Mapping

from celery.exceptions import SecurityWarning
from celery.signals import worker_shutting_down

from engine.threads import sleep_when_idle
from jobs.broker import broker_url
from jobs.celery_app import make_app
from jobs.tasks import register
from jobs.work import Work

BROKER_WAIT_S = 60.0
BROKER_CHECK_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="worker", description=__doc__)
    parser.add_argument("queues", nargs="+", choices=["train", "compile", "measure"])
    parser.add_argument("--work", default="jobs.work:WORK", help="the table of work by kind of command, as MODULE:NAME")
    arguments = parser.parse_args()
    _log_plainly()
    sleep_when_idle()
    url = _broker_url()
    if url is None:
        print("worker: no broker; set REDIS_URL or start `pocketformer serve`", file=sys.stderr)
        return 1
    closing = threading.Event()
    worker_shutting_down.connect(lambda **_: closing.set(), weak=False)
    threading.Thread(target=_leave_when_broker_moves, args=(url, closing), daemon=True).start()
    app = make_app(url)
    register(app, _table(arguments.work), closing.is_set)
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    name = f"{arguments.queues[0]}-{os.getpid()}@%h"
    app.worker_main(["-q", "worker", "-Q", ",".join(arguments.queues), "--pool", "solo", "-n", name, "-l", "WARNING", *quiet])
    return 0


class _OneLine(logging.Formatter):
    """The libraries' troubles with a broker that restarts are a line each, not a page; our own errors keep their trace."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name.split(".")[0] in ("celery", "kombu"):
            return " ".join(record.getMessage().split("\n")[0].split())
        return super().format(record)


def _log_plainly() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("celery").setLevel(logging.WARNING)
    warnings.filterwarnings(
        "ignore", category=SecurityWarning
    )  # JSON alone is accepted: a message can name a command, not code


def _broker_url() -> str | None:
    """The broker's address, waited for while a broker that starts beside this worker has not written it yet."""
    deadline = time.monotonic() + BROKER_WAIT_S
    while (url := broker_url()) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    return url


def _leave_when_broker_moves(url: str, closing: threading.Event) -> None:
    """Ends this worker, to be started again, when the broker came back elsewhere because its port was taken."""
    while not closing.wait(BROKER_CHECK_S):
        if broker_url() not in (url, None):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _table(path: str) -> Mapping[str, Work]:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    sys.exit(main())
