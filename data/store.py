"""The trial store: runs, trials, the work they ask for, their log, measurements and artifacts, in DuckDB.

One process owns the file. `open_store` gives a `Store` whichever way it is reached: through the server of this machine or of
another, over DuckDB's Quack protocol, or, when nothing serves it, by opening the file here. All methods are typed and safe to
call from any thread; each is one transaction, and safe to repeat: a call that a crash interrupted is sent again by itself.
Opening and polling are light: no pandas, no torch.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from data import statements
from data.backend import WAIT_S, Backend
from data.errors import StoreError
from data.records import ArtifactRef, Command, DeviceLatency, Duration, Event, EventLike, Measurement, Note, Request, Run, Trial
from data.sql import bind

__all__ = [
    "ArtifactRef",
    "Command",
    "DeviceLatency",
    "Event",
    "EventLike",
    "Measurement",
    "Note",
    "Request",
    "Run",
    "Store",
    "Trial",
    "new_run_id",
    "open_store",
    "serve_store",
]

STALE_AFTER_S = 30.0  # a worker that has not been heard of for so long has died
MOST_ROWS = 10_000

_Record = TypeVar("_Record", Run, Trial, DeviceLatency, Command, Event, Measurement, ArtifactRef, Request)


def open_store(wait_s: float = WAIT_S) -> "Store":
    """The store of `STORE_URL`, else of this `POCKETFORMER_HOME`: its server's client, or the owner of its file.

    `STORE_URL` is `quack:HOST:PORT`, with the server's token in `STORE_TOKEN`; or `local`: the server of this
    `POCKETFORMER_HOME`, waited for while it is not up, and never this process as the owner (for workers beside a server).

    Raises:
        StoreError: another process has the file open without serving it; the file is no store; no server within `wait_s`.
    """
    from data.quack import open_backend

    return Store(open_backend(wait_s))


def serve_store(port: int = 0) -> None:
    """Own the file and serve it on 127.0.0.1 until SIGTERM or SIGINT. To be called in the main thread.

    The server is found by what it writes to `store.json`: its address and a token made anew each time. Workers on other machines
    come through a tunnel to `port` (0: any free one), with a token that both sides have in `STORE_TOKEN`.

    Raises:
        StoreError: another process owns the file; the port is in use.
    """
    from data.quack import serve

    serve(port)


def new_run_id() -> str:
    """A name for a run: its UTC time and four random characters, like `20261121-101502-k3f9`. Sorts by time."""
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-") + "".join(
        secrets.choice("23456789abcdefghjkmnpqrstuvwxyz") for _ in range(4)
    )


class Store:
    """Typed access to the store, over a backend that runs its scripts. Every call is bounded in rows."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._closed = False

    def close(self) -> None:
        """Let go of the file or the connection. The store is of no more use afterwards; closing it again does nothing."""
        if not self._closed:
            self._closed = True
            self._backend.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Runs

    def create_run(self, run_id: str, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> None:
        """Begin a run, at state version 0. An id that is there already is left as it is."""
        self._run(
            "INSERT INTO runs VALUES ($run, utc_now(), utc_now(), 'running', $settings, $state, 0, NULL) ON CONFLICT DO NOTHING",
            run=run_id,
            settings=settings,
            state=state,
        )

    def run(self, run_id: str, with_state: bool = True) -> Run:
        """One run; without its state, which may be large, where only its progress is asked for.

        Raises:
            StoreError: no such run.
        """
        rows = self._select(Run, "FROM runs WHERE run_id = $run", without=() if with_state else ("state",), run=run_id)
        if not rows:
            raise StoreError(f"there is no run '{run_id}' in this store; the page's list of runs shows those there are")
        return rows[0]

    def runs(self, limit: int = 50) -> list[Run]:
        """The newest runs first, without their states."""
        return self._select(
            Run, "FROM runs ORDER BY created_at DESC, run_id DESC LIMIT $limit", without=("state",), limit=limit
        )

    def request_cancel(self, run_id: str) -> None:
        """Ask a running search to stop; its next step does so. A run that is over stays as it is.

        Raises:
            StoreError: no such run.
        """
        rows = self._run(
            "UPDATE runs SET status = 'cancelling', updated_at = utc_now() WHERE run_id = $run AND status IN ('running', 'paused');"
            "SELECT status FROM runs WHERE run_id = $run",
            run=run_id,
        )
        if not rows:
            raise StoreError(f"there is no run '{run_id}' in this store")

    def remove_run(self, run_id: str) -> list[str]:
        """Forget a run that is over, with its trials, commands, log and requests. Its measurements stay, as facts about the device,
        under no run.

        Returns:
            The hashes of the artifacts that no run has any more.

        Raises:
            StoreError: no such run; it is not over, or a worker still has work of it.
        """
        found = self.run(run_id, with_state=False)
        if not found.over:
            raise StoreError(f"run {run_id} is {found.status}; cancel it first")
        kept = self.artifact_hashes(run_id)
        if not self._run(statements.REMOVE_RUN, run=run_id):
            raise StoreError(f"a worker still has work of run {run_id}; try again in a minute")
        return sorted(kept - self.artifact_hashes())

    def artifact_hashes(self, run_id: str | None = None) -> set[str]:
        """The hashes of all artifacts of a run, or of all runs, trained weights among them."""
        return {row[0] for row in self._run(statements.ARTIFACT_HASHES, run=run_id)}

    def open_runs(self) -> list[Run]:
        """The runs that are not over, oldest first, without their states."""
        query = "FROM runs WHERE status IN ('running', 'paused', 'cancelling') ORDER BY created_at, run_id LIMIT $limit"
        return self._select(Run, query, without=("state",), limit=MOST_ROWS)

    def ask(self, run_id: str, kind: str, values: Mapping[str, Any] | None = None) -> None:
        """Keep a user's request, as `engine.control` has them, for the run's next step. 'extend' opens a run that is over.

        Raises:
            StoreError: no such run.
        """
        rows = self._run(statements.INSERT_REQUEST, run=run_id, id=secrets.token_hex(8), kind=kind, values=values or {})
        if not rows:
            raise StoreError(f"there is no run '{run_id}' in this store")

    def requests(self, run_id: str, after_seq: int = 0, limit: int = 500) -> list[Request]:
        """What users asked of a run after the request numbered `after_seq`, oldest first."""
        query = "FROM requests WHERE run_id = $run AND seq > $after ORDER BY seq LIMIT $limit"
        return self._select(Request, query, run=run_id, after=after_seq, limit=limit)

    def asked(self) -> list[str]:
        """The runs of which a user has asked something that no step has taken yet."""
        return [row[0] for row in self._run(statements.ASKED)]

    def commit_step(
        self,
        run_id: str,
        expected_version: int,
        *,
        state: Mapping[str, Any] | None,
        settings: Mapping[str, Any] | None = None,
        status: str = "running",
        error: str | None = None,
        trials: Sequence[Trial] = (),
        latencies: Sequence[DeviceLatency] = (),
        commands: Sequence[Command] = (),
        stop: Sequence[str] = (),
        events: Sequence[EventLike] = (),
    ) -> bool:
        """One step of a search, whole or not at all, if nobody has committed another since `expected_version`.

        Trials and their latencies are inserted or replaced (a trial's creation time stays; its latency on the run's first device need
        not be said twice); commands that exist are left alone; of the commands named in `stop`, queued ones become 'stopped' and running
        ones 'stopping'. A step with status 'running' or 'paused' does not take back a cancellation that was asked for meanwhile. Without
        `settings` the run keeps those it has.

        Returns:
            False when another process was first: nothing was written, and the run's state is to be read again.
        """
        script = [statements.BEGIN_STEP]
        if trials:
            script += [statements.UPSERT_TRIALS, statements.UPSERT_FIRST_LATENCIES]
        if latencies:
            script.append(statements.UPSERT_LATENCIES)
        if commands:
            script.append(statements.INSERT_COMMANDS)
        if stop:
            script.append(statements.STOP_COMMANDS)
        if events:
            script.append(f"{statements.INSERT_EVENTS} AND {statements.ALIVE};")
        script.append(statements.END_STEP)
        rows = self._run(
            "".join(script),
            run=run_id,
            expected=expected_version,
            next=expected_version + 1,
            step=secrets.token_hex(8),
            state=state,
            settings=settings,
            status=status,
            error=error,
            trials=[asdict(trial) for trial in {trial.trial: trial for trial in trials}.values()],
            numbers=tuple({trial.trial for trial in trials}),
            latencies=[asdict(each) for each in {(each.trial, each.device): each for each in latencies}.values()],
            commands=[asdict(command) for command in {command.command_id: command for command in commands}.values()],
            stop=tuple(stop),
            events=_documents(events),
        )
        return rows == [(True,)]

    # Trials

    def trials(self, run_id: str, limit: int = MOST_ROWS) -> list[Trial]:
        """The trials of a run, by number."""
        return self._select(Trial, "FROM trials WHERE run_id = $run ORDER BY trial LIMIT $limit", run=run_id, limit=limit)

    def latencies(self, run_id: str, device: str | None = None, limit: int = MOST_ROWS) -> list[DeviceLatency]:
        """The latencies of a run's trials on each of its devices, or on one, by trial. A trial that one device rules out has none on the
        devices that had not been asked by then."""
        query = (
            "FROM latencies WHERE run_id = $run AND ($device IS NULL OR device = $device) ORDER BY trial, device LIMIT $limit"
        )
        return self._select(DeviceLatency, query, run=run_id, device=device, limit=limit)

    def pareto(self, run_id: str, feasible: bool = False, device: str | None = None) -> list[Trial]:
        """The trials that no other one beats in both latency and (early) accuracy, fastest first. Log-linear in the number of trials.

        Args:
            feasible: only trials that nothing has ruled out, and within the device's limit in the run's settings.
            device: whose latencies count, and are in the trials returned; None: the run's first.
        """
        return self._select(Trial, statements.PARETO, run=run_id, feasible=feasible, device=device, limit=MOST_ROWS)

    # Commands

    def commands(self, run_id: str, status: str | None = None, limit: int = MOST_ROWS) -> list[Command]:
        """The commands of a run, oldest first; or those with one status."""
        return self._select(
            Command,
            "FROM commands WHERE run_id = $run AND ($status IS NULL OR status = $status) ORDER BY created_at, command_id LIMIT $limit",
            run=run_id,
            status=status,
            limit=limit,
        )

    def timeline(self, run_id: str, limit: int = 400) -> list[Command]:
        """The commands of a run that were begun last, in that order, without their payloads and results."""
        query = "FROM commands WHERE run_id = $run AND started_at IS NOT NULL ORDER BY started_at DESC, command_id LIMIT $limit"
        return self._select(Command, query, without=("payload", "result"), run=run_id, limit=limit)[::-1]

    def durations(self, limit: int = 400) -> list[Duration]:
        """What commands took that are done, of all runs, the newest first."""
        return [Duration(*row) for row in self._run(statements.DURATIONS, limit=limit)]

    def command(self, command_id: str) -> Command:
        """One command.

        Raises:
            StoreError: no such command.
        """
        rows = self._select(Command, "FROM commands WHERE command_id = $command", command=command_id)
        if not rows:
            raise StoreError(f"there is no command '{command_id}' in this store")
        return rows[0]

    def claim(self, command_id: str, worker: str, stale_after_s: float = STALE_AFTER_S) -> Command | None:
        """Take a command that is queued, or whose worker was not heard of for `stale_after_s`. Of several claims one succeeds.

        Args:
            worker: a name that no other process has, nor this one after a restart.

        Returns:
            None when somebody has it, it is over or being stopped, or its run is paused.
        """
        rows = self._select(
            Command,
            "FROM commands WHERE command_id = $command AND claim_id = $claim AND status = 'running'",
            before="UPDATE commands SET status = 'running', attempts = attempts + 1, worker = $worker, claim_id = $claim, "
            "heartbeat_at = utc_now(), started_at = utc_now() "
            f"WHERE command_id = $command AND {statements.FREE} AND claim_id IS DISTINCT FROM $claim "
            "AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = commands.run_id AND runs.status = 'paused');",
            command=command_id,
            worker=worker,
            claim=secrets.token_hex(8),
            stale=_microseconds(stale_after_s),
        )
        return rows[0] if rows else None

    def heartbeat(self, command_id: str, worker: str) -> bool:
        """Say that the worker is alive. False: stop now, the command was stopped or taken over by another worker, or its run paused."""
        rows = self._run(
            "UPDATE commands SET heartbeat_at = utc_now() "
            "WHERE command_id = $command AND worker = $worker AND status IN ('running', 'stopping');"
            "SELECT commands.status FROM commands JOIN runs USING (run_id) "
            "WHERE command_id = $command AND worker = $worker AND runs.status <> 'paused'",
            command=command_id,
            worker=worker,
        )
        return rows == [("running",)]

    def finish(
        self,
        command_id: str,
        worker: str,
        result: Mapping[str, Any] | None = None,
        error: str | None = None,
        stopped: bool = False,
    ) -> bool:
        """Report the end of a command: 'stopped', 'failed' with an error, else 'done'. Repeating it changes nothing.

        Returns:
            False when the command is no longer this worker's, and nothing was written.
        """
        status = "stopped" if stopped else "done" if error is None else "failed"
        rows = self._run(
            "UPDATE commands SET status = $status, result = $result, error = $error, heartbeat_at = utc_now(), finished_at = utc_now() "
            "WHERE command_id = $command AND worker = $worker AND status IN ('running', 'stopping');"
            "SELECT status FROM commands WHERE command_id = $command AND worker = $worker",
            command=command_id,
            worker=worker,
            status=status,
            result=result,
            error=error,
        )
        return rows == [(status,)]

    def release(self, command_id: str, worker: str) -> None:
        """Put a command back into the queue, as if it had not been begun: its worker closes down, or its run is paused. Repeating it
        changes nothing."""
        self._run(
            "UPDATE commands SET status = 'queued', attempts = greatest(attempts - 1, 0), worker = NULL, claim_id = NULL, "
            "heartbeat_at = NULL, started_at = NULL WHERE command_id = $command AND worker = $worker AND status = 'running'",
            command=command_id,
            worker=worker,
        )

    def unclaimed(self, stale_after_s: float = STALE_AFTER_S, limit: int = 100) -> list[Command]:
        """Commands to be taken, oldest first: queued, or with a worker that died, of runs that are not over."""
        return self._select(
            Command,
            f"FROM commands WHERE {statements.FREE} AND run_id IN (SELECT run_id FROM runs WHERE status IN ('running', 'cancelling')) "
            "ORDER BY created_at, command_id LIMIT $limit",
            stale=_microseconds(stale_after_s),
            limit=limit,
        )

    def stop_stale(self, stale_after_s: float = STALE_AFTER_S) -> int:
        """Mark as 'stopped' the commands that were to stop and whose worker died before it could say so; returns how many."""
        rows = self._run(
            f"UPDATE commands SET status = 'stopped', finished_at = utc_now() WHERE status = 'stopping' AND {statements.STALE}",
            stale=_microseconds(stale_after_s),
        )
        return int(rows[0][0])

    # Events

    def log(
        self,
        run_id: str,
        message: str,
        *,
        trial: int | None = None,
        level: str = "info",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Append a line to a run's log; `level` is 'debug', 'info', 'warning' or 'error'."""
        self._run(statements.INSERT_EVENTS, run=run_id, events=_documents([Note(message, trial, level, data or {})]))

    def events(self, run_id: str, after_seq: int = 0, limit: int = 500) -> list[Event]:
        """A run's log after the event numbered `after_seq`, oldest first. Asking for those after the last one seen skips none."""
        return self._select(
            Event,
            "FROM events WHERE run_id = $run AND seq > $after ORDER BY seq LIMIT $limit",
            run=run_id,
            after=after_seq,
            limit=limit,
        )

    def last_events(self, run_id: str, limit: int = 200) -> list[Event]:
        """The end of a run's log, oldest first."""
        return self._select(Event, "FROM events WHERE run_id = $run ORDER BY seq DESC LIMIT $limit", run=run_id, limit=limit)[
            ::-1
        ]

    def policies(self, run_id: str, limit: int = 400) -> list[Event]:
        """The newest entries of a run's log that say what its policy would choose (`data["policy"]`), oldest first."""
        rows = "FROM events WHERE run_id = $run AND json_exists(data, '$.policy') ORDER BY seq DESC LIMIT $limit"
        return self._select(Event, rows, run=run_id, limit=limit)[::-1]

    # Measurements and artifacts

    def add_measurement(self, measurement: Measurement) -> None:
        """Keep a latency; the store sets its time."""
        self._run(
            statements.INSERT_MEASUREMENT,
            id=secrets.token_hex(8),
            architecture=measurement.architecture,
            device=measurement.device,
            precision=measurement.precision,
            threads=measurement.threads,
            seq_len=measurement.seq_len,
            median_ms=measurement.median_ms,
            p_ten_ms=measurement.p10_ms,
            p_ninety_ms=measurement.p90_ms,
            runs=measurement.runs,
            source=measurement.source,
            run=measurement.run_id,
            trial=measurement.trial,
        )

    def measurements(
        self,
        architecture: str | None = None,
        device: str | None = None,
        run_id: str | None = None,
        limit: int = 1000,
    ) -> list[Measurement]:
        """Latencies, newest first: all, or those of an architecture, a device, a run."""
        return self._select(
            Measurement,
            "FROM measurements WHERE ($architecture IS NULL OR architecture = $architecture) AND ($device IS NULL OR device = $device) "
            'AND ($run IS NULL OR run_id = $run) ORDER BY "at" DESC, measurement_id LIMIT $limit',
            architecture=architecture,
            device=device,
            run=run_id,
            limit=limit,
        )

    def add_artifact(self, artifact: ArtifactRef) -> None:
        """Keep the name of a file that `data.artifacts` holds; the store sets its time. The same one twice is kept once."""
        identity = "\n".join(map(str, (artifact.run_id, artifact.trial, artifact.sha256, artifact.kind, artifact.name)))
        self._run(
            statements.INSERT_ARTIFACT,
            id=hashlib.sha256(identity.encode()).hexdigest()[:32],
            sha=artifact.sha256,
            name=artifact.name,
            kind=artifact.kind,
            size=artifact.size,
            run=artifact.run_id,
            trial=artifact.trial,
        )

    def artifacts(self, run_id: str, limit: int = MOST_ROWS) -> list[ArtifactRef]:
        """The files that a run made, oldest first."""
        query = "FROM artifacts WHERE run_id = $run ORDER BY created_at, artifact_id LIMIT $limit"
        return self._select(ArtifactRef, query, run=run_id, limit=limit)

    def artifacts_of_kind(self, kind: str, limit: int = 200) -> list[ArtifactRef]:
        """The newest files of a kind, as `bundle`, of all runs; newest first."""
        query = "FROM artifacts WHERE kind = $kind ORDER BY created_at DESC, artifact_id LIMIT $limit"
        return self._select(ArtifactRef, query, kind=kind, limit=limit)

    # Scripts

    def query(self, script: str, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of a reading script of this package's own modules (`data.explore`); `values` fill its `$names`."""
        return self._run(script, **values)

    def _run(self, script: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._backend.run(bind(script, **values))

    def _select(
        self, record: type[_Record], query: str, before: str = "", without: tuple[str, ...] = (), **values: Any
    ) -> list[_Record]:
        """The records of a query, which begins with FROM; `before` are statements ahead of it, `without` columns left NULL."""
        rows = self._run(f"{before} SELECT {statements.columns(record, without)} {query}", **values)
        names = [field.name for field in fields(record)]
        return [record(**{name: _value(name, value) for name, value in zip(names, row, strict=True)}) for row in rows]


def _value(column: str, value: Any) -> Any:
    """A column's value in Python: JSON read, times aware."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if column in statements.JSON_COLUMNS and value is not None:
        return json.loads(value)
    return value


def _documents(events: Sequence[EventLike]) -> list[dict[str, Any]]:
    """Events as the rows that `INSERT_EVENTS` takes, each with a key of its own."""
    key = secrets.token_hex(8)
    return [
        {
            "event_id": f"{key}-{i}",
            "position": i,
            "level": e.level,
            "trial": e.trial,
            "message": e.message,
            "data": e.data or {},
        }
        for i, e in enumerate(events, start=1)
    ]


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
