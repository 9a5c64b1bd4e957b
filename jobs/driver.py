"""Carries a search out: feeds what has happened to `engine.search.step`, keeps each step in the store, executes commands.

The store is the truth. Any process may call `advance` or `execute` at any time, twice or at once, and may be killed anywhere:
a step is one compare-and-swap, a command is claimed by one worker at a time, and what a dead worker had is claimed again.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.errors import Cancelled, PocketformerError, StoreError
from data.store import Command, DeviceLatency, Note, Run, Store, Trial, new_run_id
from engine.architecture import Architecture
from engine.constraints import check_constraints, model_mb
from engine.control import request_of
from engine.search import (
    Cancel,
    Do,
    Effect,
    Event,
    Finished,
    Say,
    SearchState,
    Start,
    Stop,
    TrialState,
    architecture_of_fields,
    initial_state,
    step,
)
from engine.settings import AUTO, MEASURED, PREDICTED, Settings
from jobs.pulse import Progress, Pulse
from jobs.work import WORK, Job, Work

MOST_DEATHS = 3  # of the workers of one command; then it is taken to be what kills them
STALE_AFTER_S = 30.0  # without a heartbeat, a worker counts as dead
KEEP_TRYING_S = 600.0  # to report the end of work, when the store is away: training is too dear to lose
QUEUES = {
    "prepare": "train",
    "train": "train",
    "final_train": "train",
    "compile": "compile",
    "bundle": "compile",
    "measure": "measure",
}

log = logging.getLogger(__name__)


def never() -> bool:
    """For work that nothing interrupts."""
    return False


def worker_name() -> str:
    """A name for this process and thread as a worker, unlike any other's."""
    return f"{socket.gethostname()}-{os.getpid()}-{threading.get_native_id()}"


def start_run(store: Store, settings: Settings) -> str:
    """Checks the settings with those who know the names in them, and begins the run; its id.

    Raises:
        UsageError: no such task, device, teacher or text; nothing is written then.
    """
    settings = checked(settings)
    run_id = new_run_id()
    store.create_run(run_id, settings.to_dict(), initial_state(run_id, settings).to_json())
    advance(store, run_id)
    return run_id


def advance(store: Store, run_id: str) -> list[Command]:
    """Feeds everything that has happened to the search until nothing is new; the commands that this call has queued."""
    queued: list[Command] = []
    while True:
        run = store.run(run_id)
        if run.over or run.state is None:
            return queued
        state = SearchState.from_json(run.state)
        news = _news(store, run, state)
        if not news:
            return queued
        effects: list[Effect] = []
        before = {trial.trial: trial for trial in state.trials}
        for event in news:
            state, more = step(state, event)
            effects += more
        commands = [
            Command(each.command_id, run_id, each.trial, each.kind, each.payload) for each in effects if isinstance(each, Do)
        ]
        changed = [trial for trial in state.trials if trial != before.get(trial.trial)]
        committed = store.commit_step(
            run_id,
            run.state_version,
            state=state.to_json(),
            settings=state.settings if state.settings != run.settings else None,
            status=state.status,
            error=state.error,
            trials=[_row(run_id, trial, state) for trial in changed],
            latencies=[each for trial in changed for each in _latencies(run_id, trial, state)],
            commands=commands,
            stop=[each.command_id for each in effects if isinstance(each, Stop)],
            events=[Note(each.message, each.trial, each.level, each.data) for each in effects if isinstance(each, Say)],
        )
        if committed:
            stopped = {each.command_id for each in effects if isinstance(each, Stop)}
            queued += [command for command in commands if command.command_id not in stopped]


def execute(
    store: Store,
    command_id: str,
    worker: str,
    *,
    work: Mapping[str, Work] = WORK,
    closing: Callable[[], bool] = never,
    stale_after_s: float = STALE_AFTER_S,
) -> list[Command]:
    """Claims a command, does its work, reports the end, and advances its run; the commands queued by that.

    Nothing happens when somebody else has the command, or when it is over. When `closing()` turns true the work is broken off
    and the command goes back to the queue, for another worker or for this machine's next start.
    """
    command = store.claim(command_id, worker, stale_after_s)
    if command is None:
        return []
    with Pulse(store, command_id, worker) as pulse:
        if command.attempts > MOST_DEATHS:
            times = f"{MOST_DEATHS} workers died while they carried out '{command.kind}'"
            _keep_trying(lambda: store.finish(command_id, worker, error=f"{times}; is there enough memory?"))
            return advance(store, command.run_id)
        settings = Settings.from_dict(store.run(command.run_id, with_state=False).settings)
        if (device := command.payload.get("device")) is not None:
            settings = settings.on(device)
        job = Job(store, settings, command, Progress(store, command), lambda: pulse.lost() or closing())
        try:
            result = work[command.kind](job)
        except Cancelled:
            if closing() and not pulse.lost():
                store.release(command_id, worker)
                return []
            # A command that is still to run is so of a paused run: it goes back, and `finish` finds nothing to end.
            _keep_trying(lambda: store.release(command_id, worker))
            _keep_trying(lambda: store.finish(command_id, worker, stopped=True))
        except PocketformerError as error:
            message = str(error)
            _keep_trying(lambda: store.finish(command_id, worker, error=message))
        except Exception as error:
            log.exception("%s failed", command_id)
            message = f"{command.kind}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
            _keep_trying(lambda: store.finish(command_id, worker, error=message))
        else:
            _keep_trying(lambda: store.finish(command_id, worker, result=result))
    return advance(store, command.run_id)


def checked(settings: Settings) -> Settings:
    """The settings with all names known and all paths absolute, as workers have other working folders. A user's own task is read,
    so that what is wrong with it is known before anything is written.

    Raises:
        UsageError: a name that its owner does not know, or a file that is no task; one line that says what to give.
    """
    from data.tasks import load_task, part_names, task_names
    from data.text import text_files
    from engine.space import SearchSpace
    from engine.strategies import check_strategy
    from engine.teacher import HUB_ID, teacher_architecture, teacher_names

    check_strategy(settings.strategy)
    latencies = {device: _latency_of(settings.on(device)) for device in settings.limits}
    predicted = tuple(device for device, latency in latencies.items() if latency == PREDICTED)
    check_constraints(replace(settings, latency=MEASURED, predicted=predicted))
    all_predicted = len(predicted) == len(latencies)
    task = settings.task
    known = {info.name for info in task_names()}
    if task not in known:
        load_task(task)
        task = ",".join(each if each in known else _absolute_task(each) for each in part_names(task))
    settings = replace(
        settings,
        latency=PREDICTED if all_predicted else MEASURED,
        predicted=() if all_predicted else predicted,
        task=task,
        teacher=_absolute(settings.teacher) if settings.teacher not in teacher_names() else settings.teacher,
        text=_absolute(settings.text) if settings.text else None,
        logits_teacher=_absolute(settings.logits_teacher) if settings.logits_teacher else None,
    )
    if settings.text:
        text_files(settings.text)
    if settings.teacher not in teacher_names() and HUB_ID.fullmatch(settings.teacher):
        return settings  # its download belongs to a worker: the first command
    teacher = teacher_architecture(settings.teacher)
    space = SearchSpace.for_teacher(teacher, settings.depths, settings.hidden_sizes, settings.ffn_sizes)
    if settings.architecture:
        space.check(Architecture.parse(settings.architecture))
    return settings


def _absolute_task(name: str) -> str:
    """Of a user's own file, with its options."""
    path, question, options = name.partition("?")
    return f"{_absolute(path)}{question}{options}"


def _latency_of(settings: Settings) -> str:
    """Measured or predicted, for all of a run; of the search for one device.

    Raises:
        UsageError: no such device; it is to be measured and cannot be; it has not the threads asked for.
    """
    from compiler.devices import check_device, check_measurable, is_measurable

    check_device(settings.device)
    latency = settings.latency
    if latency == AUTO:
        latency = MEASURED if is_measurable(settings.device) else PREDICTED
    if latency == MEASURED:
        check_measurable(settings.device)
    else:
        from engine.prediction.machine import machine_of

        machine_of(settings.device, settings.threads, settings.precision)
    return latency


def _absolute(name: str) -> str:
    """The absolute path of what exists; a name of something else as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def _news(store: Store, run: Run, state: SearchState) -> list[Event]:
    """What the search has not been told yet."""
    if state.stage == "new":
        return [Start()]
    asked: list[Event] = [request_of(each.seq, each.kind, each.values) for each in store.requests(run.run_id, state.requests)]
    if run.status == "cancelling":
        return [*asked, Cancel()]
    return asked + [
        Finished(command.command_id, command.status, command.result, command.error)  # type: ignore[arg-type]
        for command in store.commands(run.run_id)
        if command.command_id in state.pending and command.over
    ]


def _row(run_id: str, trial: TrialState, state: SearchState) -> Trial:
    architecture = architecture_of_fields(trial.architecture)
    latency = {} if trial.latency is None else _columns(trial.latency)
    return Trial(
        run_id,
        trial.trial,
        trial.phase,
        trial.name,
        trial.status,
        **{name: value for name, value in latency.items() if not name.startswith("energy_") or name == "energy_mj"},
        model_mb=model_mb(architecture, state.settings["precision"], int(state.settings["seq_len"])),
        accuracy=trial.accuracy,
        final_accuracy=trial.final_accuracy,
        reward=trial.reward,
        reason=trial.reason,
        parameters=architecture.parameters(),
        flops=architecture.flops(int(state.settings["seq_len"])),
    )


def _latencies(run_id: str, trial: TrialState, state: SearchState) -> list[DeviceLatency]:
    known = trial.latencies(Settings.from_dict(state.settings))
    return [DeviceLatency(run_id, trial.trial, device, **_columns(latency)) for device, latency in known.items()]


def _columns(latency: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `measure` as the store names it."""
    return {
        "latency_ms": latency["latency_ms"],
        "latency_p10_ms": latency.get("p10_ms", latency.get("low_ms")),
        "latency_p90_ms": latency.get("p90_ms", latency.get("high_ms")),
        "latency_source": latency["source"],
        "memory_mb": latency.get("peak_memory_mb"),
        **{name: latency.get(name) for name in ("energy_mj", "energy_low_mj", "energy_high_mj")},
    }


def _keep_trying(report: Callable[[], object]) -> None:
    """Calls `report` until the store takes it; after ten minutes without a store its error goes through."""
    deadline = time.monotonic() + KEEP_TRYING_S
    while True:
        try:
            report()
            return
        except StoreError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting for the store: %s", error)
            time.sleep(1.0)
