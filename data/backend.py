"""Where the store's scripts run: in this process, which then owns the file, or on the server that owns it, over Quack.

A script is one or several statements, of which the last may return rows; `BEGIN; …; COMMIT;` around those that hold together.
It may be run again after a fault whose outcome is not known, so every script is written to be harmless when repeated.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from data.errors import StoreError
from data.sql import bind

if TYPE_CHECKING:
    import duckdb

    from data.quack import Endpoint

Rows = list[tuple[Any, ...]]

WAIT_S = 60.0  # how long a call waits for a server that is gone, before it is an error
REQUEST_TIMEOUT_S = 30  # for one answer; a server that was stopped rather than killed is found out by it
MOST_CONFLICTS = 200
_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

# Two transactions wrote the same row or took the same next number: DuckDB refuses the later one, which may simply try again.
_CONFLICT = ("conflict", "unique constraint viol", "violates primary key", "violates unique")
_UNREACHED = ("Authentication failed", "Invalid connection id", "Failed to send message", "has been invalidated")


class Backend(Protocol):
    """Runs scripts, from any thread; raises StoreError."""

    def run(self, script: str) -> Rows: ...
    def close(self) -> None: ...


class FileBackend:
    """The store's file, open in this process alone. One script at a time; other threads wait."""

    def __init__(
        self, connection: "duckdb.DuckDBPyConnection", unused: Callable[[], bool], release: Callable[[], None]
    ) -> None:
        """`unused` says, for each store closed, whether it was the last one; `release` gives the file free for other processes."""
        self._connection = connection
        self._unused = unused
        self._release = release
        self._lock = threading.Lock()

    def run(self, script: str) -> Rows:
        import duckdb

        with self._lock:
            try:
                with _keyboard_interrupts():
                    return self._connection.execute(script).fetchall()
            except BaseException as error:
                with suppress(duckdb.Error):
                    self._connection.execute("ROLLBACK")
                if isinstance(error, duckdb.Error):
                    raise StoreError(f"the store refused a statement: {first_line(error)}") from None
                raise

    def close(self) -> None:
        with self._lock:
            if self._unused():
                self._connection.close()
                self._release()


class QuackBackend:
    """The store behind its server. Each script is one request on a server-side connection of its own, which the server rolls back
    when the script fails: nothing half done outlives this process or the server. A lost answer, a refused connection, a new
    token are reasons to wait and send the script again."""

    def __init__(self, locate: "Callable[[], Endpoint | None]", this_machine: bool, wait_s: float = WAIT_S) -> None:
        """`locate` finds the server, again for each request; `this_machine` keeps requests off a proxy that the environment names."""
        from data.quack import connect

        self._locate = locate
        self._wait_s = wait_s
        self._connection = connect(":memory:", threads=1)
        self._connection.execute(f"SET http_retries = 0; SET http_timeout = {REQUEST_TIMEOUT_S}")
        if this_machine:
            self._connection.execute("SET httpfs_client_implementation = 'httplib'")
        self._lock = threading.Lock()

    def run(self, script: str) -> Rows:
        import duckdb

        deadline = time.monotonic() + self._wait_s
        pause_s = _PAUSE_S
        conflicts = 0
        while True:
            endpoint = self._locate()
            refusal = "nothing serves it"
            if endpoint:
                try:
                    return self._request(endpoint, script)
                except duckdb.Error as error:
                    refusal = first_line(error).replace(endpoint.token, "…")
                    if any(sign in refusal.lower() for sign in _CONFLICT) and conflicts < MOST_CONFLICTS:
                        conflicts += 1
                        time.sleep(random.uniform(0.001, 0.004 * min(conflicts, 25)))
                        continue
                    lost = isinstance(error, duckdb.IOException) or any(sign in refusal for sign in _UNREACHED)
                    if endpoint.fixed and "Authentication failed" in refusal:
                        raise StoreError(
                            f"{endpoint.url} does not accept STORE_TOKEN; take the token of its store.json"
                        ) from None
                    if not lost:
                        raise StoreError(f"the store refused a statement: {refusal}") from None
            if time.monotonic() + pause_s > deadline:
                where = f"at {endpoint.url}" if endpoint else "of this POCKETFORMER_HOME"
                raise StoreError(
                    f"the store {where} did not answer for {self._wait_s:.0f} s: {refusal}; is `pocketformer serve` running?"
                )
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _request(self, endpoint: "Endpoint", script: str) -> Rows:
        request = bind(
            "FROM quack_query($url, $script, token := $token)", url=endpoint.url, script=script, token=endpoint.token
        )
        with self._lock, _keyboard_interrupts():
            return self._connection.execute(request).fetchall()


@contextmanager
def _keyboard_interrupts() -> Iterator[None]:
    """DuckDB takes a Ctrl-C that comes while it works for its own, and answers with another error."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from None
        raise


def first_line(error: BaseException) -> str:
    """An error's message on one line, without DuckDB's excerpt of the statement (which may hold the token)."""
    return " ".join(str(error).split("\nLINE ")[0].split()) or type(error).__name__
