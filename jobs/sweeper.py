"""Sees to it that every command is carried out, whatever was killed: `python -m jobs.sweeper`.

The broker forgets, workers die, and a process may die between a step and its messages. The sweeper compares the store with
what it has sent: commands that nobody has are sent again, and runs whose news nobody has fed are advanced.
"""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from celery import Celery

from data.errors import PocketformerError, StoreError, exit_status_of
from data.store import Command, Store, open_store
from jobs.broker import broker_url
from jobs.celery_app import make_app
from jobs.driver import STALE_AFTER_S, advance
from jobs.tasks import send

SEND_EVERY_S = 1.0
ADVANCE_EVERY_S = 5.0
FIRST_RESEND_S, LONGEST_RESEND_S = 10.0, 120.0  # a command that waits behind others is sent again ever more rarely
SLOW_STORE_S = 5.0  # a call that took longer has met a restart of the store

log = logging.getLogger(__name__)


@dataclass
class Sweeper:
    """One round after the other; `send` and `broker_id` (None: not reachable) are handed in, for tests too."""

    store: Store
    send: Callable[[Command], bool]
    broker_id: Callable[[], str | None]
    stale_after_s: float = STALE_AFTER_S
    # command id -> when to send it again, and the pause after that
    _sent: dict[str, tuple[float, float]] = field(default_factory=dict)
    _broker: str | None = None

    def send_unclaimed(self, now: float) -> None:
        """Sends the commands that nobody has, unless they were sent a short while ago to this same broker."""
        started = time.monotonic()
        commands = self.store.unclaimed(self.stale_after_s)
        if time.monotonic() - started > SLOW_STORE_S:
            return  # the workers' heartbeats waited for the store too: let them come first, or living workers look dead
        broker = self.broker_id()
        if broker is None:
            return
        if broker != self._broker:
            self._sent.clear()  # a broker that started anew has no messages
            self._broker = broker
        self._sent = {command.command_id: self._sent.get(command.command_id, (now, FIRST_RESEND_S)) for command in commands}
        for command in commands:
            due, pause_s = self._sent[command.command_id]
            if now >= due and self.send(command):
                self._sent[command.command_id] = (now + pause_s, min(2 * pause_s, LONGEST_RESEND_S))

    def advance_runs(self) -> None:
        """Feeds news that nobody has fed; forgets commands that were to stop and whose worker is dead."""
        self.store.stop_stale(self.stale_after_s)
        self._advance([run.run_id for run in self.store.open_runs()])

    def advance_asked(self) -> None:
        """Feeds what users have asked for, which should not wait for the next round of `advance_runs`."""
        self._advance(self.store.asked())

    def _advance(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            try:
                advance(self.store, run_id)
            except PocketformerError as error:
                log.error("run %s does not go on: %s", run_id, error)


def sweep(stop: threading.Event) -> None:
    """Sweeps until `stop` is set; an outage of store or broker is waited for."""
    store = open_store()
    app: Celery | None = None
    url: str | None = None

    def broker_id() -> str | None:
        nonlocal app, url
        if app is None or broker_url() != url:
            url = broker_url()
            app = make_app(url)
        try:
            with app.connection_for_write() as connection:
                return str(connection.default_channel.client.info("server")["run_id"])
        except Exception as error:  # each client library has its own; to us they all mean: not now
            log.debug("no broker: %s", error)
            return None

    sweeper = Sweeper(store, lambda command: app is not None and send(app, command), broker_id)
    advanced_at = 0.0
    while not stop.wait(SEND_EVERY_S):
        try:
            if time.monotonic() - advanced_at >= ADVANCE_EVERY_S:
                sweeper.advance_runs()
                advanced_at = time.monotonic()
            else:
                sweeper.advance_asked()
            sweeper.send_unclaimed(time.monotonic())
        except StoreError as error:
            log.warning("sweeper: %s", error)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return exit_status_of("sweeper", lambda: sweep(stop))


if __name__ == "__main__":
    sys.exit(main())
