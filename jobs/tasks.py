"""The one Celery task, and how commands become messages."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError

from data.store import Command, Store, open_store
from jobs.driver import QUEUES, execute, worker_name
from jobs.work import Work

EXECUTE = "pocketformer.execute"

log = logging.getLogger(__name__)


def send(app: Celery, command: Command) -> bool:
    """Puts a command's id on its queue; False when the broker cannot be reached (the sweeper sends it later)."""
    try:
        app.send_task(EXECUTE, args=[command.command_id], queue=QUEUES[command.kind], retry=False)
        return True
    except (OperationalError, OSError) as error:
        log.warning("the broker did not take %s: %s", command.command_id, error)
        return False


def dispatch(app: Celery, commands: Iterable[Command]) -> None:
    """Sends commands that a step has just queued."""
    for command in commands:
        send(app, command)


def register(app: Celery, work: Mapping[str, Work], closing: Callable[[], bool]) -> None:
    """Makes this process's application carry out commands: `work` has a function for each kind."""

    @app.task(name=EXECUTE)
    def execute_command(command_id: str) -> None:
        """Safe to deliver twice: the store gives a command to one worker at a time."""
        dispatch(app, execute(_store(), command_id, worker_name(), work=work, closing=closing))


@cache
def _store() -> Store:
    """This worker's connection, made on its first task."""
    return open_store()
