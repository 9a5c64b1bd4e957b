"""A whole run in this process: the same commands, claimed by threads, with no broker. One thread trains, another compiles and
measures on this machine, so a candidate's compilation runs beside its training here too; each further device has one to measure on it."""

import threading
import time
from collections.abc import Callable, Mapping

from compiler.devices import HOST
from data.store import Command, Event, Run, Store
from engine.settings import Settings
from jobs.driver import QUEUES, advance, execute, worker_name
from jobs.work import WORK, Work

POLL_S = 0.3
SWEEP_S = 5.0  # between looks for what a worker of `pocketformer serve` has finished
STALE_AFTER_S = 15.0  # five heartbeats: who resumes a run that was killed should not wait longer
CLOSING_S = 20.0  # for work to break off when the user interrupts


def run_local(
    store: Store,
    run_id: str,
    on_event: Callable[[Event], None] | None = None,
    *,
    work: Mapping[str, Work] = WORK,
    poll_s: float = POLL_S,
) -> Run:
    """Carries a new or interrupted run out until it is over; the run as it ended.

    `on_event` gets each line of the run's log from here on, in this thread. KeyboardInterrupt breaks the work off and puts its
    commands back: call again with the same run. Workers of `pocketformer serve` may take commands of the same run meanwhile.
    """
    closing = threading.Event()
    limits = Settings.from_dict(store.run(run_id, with_state=False).settings).limits
    lanes = ["train", "compile", *(device for device in limits if device != HOST)]
    failures: list[BaseException] = []
    crew = [
        threading.Thread(target=_labour, args=(store, run_id, lane, work, closing, poll_s, failures), daemon=True)
        for lane in lanes
    ]
    advance(store, run_id)
    seen = _last_seq(store, run_id)
    for thread in crew:
        thread.start()
    swept_at = time.monotonic()
    try:
        while True:
            if failures:
                raise failures[0]
            run = store.run(run_id, with_state=False)
            for event in store.events(run_id, after_seq=seen):
                seen = event.seq
                if on_event is not None:
                    on_event(event)
            if run.over:
                return store.run(run_id)
            if run_id in store.asked() or time.monotonic() - swept_at > SWEEP_S:
                swept_at = time.monotonic()
                advance(store, run_id)
            closing.wait(poll_s)
    finally:
        closing.set()
        for thread in crew:
            thread.join(CLOSING_S)


def _last_seq(store: Store, run_id: str) -> int:
    """The newest event of a run that goes on; 0 for one that begins, whose first lines are news."""
    begun = any(command.attempts for command in store.commands(run_id))
    last = store.last_events(run_id, limit=1) if begun else []
    return last[0].seq if last else 0


def _lane_of(command: Command) -> str:
    """train, compile, or a device other than this machine, where measuring takes none of its cores."""
    if QUEUES[command.kind] == "train":
        return "train"
    device = command.payload.get("device", HOST)
    return str(device) if command.kind == "measure" and device != HOST else "compile"


def _labour(
    store: Store,
    run_id: str,
    lane: str,
    work: Mapping[str, Work],
    closing: threading.Event,
    poll_s: float,
    failures: list[BaseException],
) -> None:
    """Claims and executes this lane's commands, one after another; what must not happen goes to `failures`."""
    worker = worker_name()
    try:
        while not closing.is_set():
            free: list[Command] = [
                each for each in store.unclaimed(STALE_AFTER_S) if each.run_id == run_id and _lane_of(each) == lane
            ]
            for command in free[:1]:
                execute(store, command.command_id, worker, work=work, closing=closing.is_set, stale_after_s=STALE_AFTER_S)
            if not free:
                closing.wait(poll_s)
    except BaseException as error:
        failures.append(error)
