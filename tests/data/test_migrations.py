"""Schema versions are applied once, in order, whole."""

import duckdb
import pytest

from data.errors import StoreError
from data.migrations import migrate, newest_version, schema_text, versions

FIRST = "-- version 1: a\nCREATE TABLE a (x INTEGER);\n"
SECOND = FIRST + "-- version 2: b\nALTER TABLE a ADD COLUMN y INTEGER DEFAULT 7;\nCREATE TABLE b (x INTEGER);\n"
BROKEN = SECOND + "-- version 3: c\nCREATE TABLE c (x INTEGER);\nCREATE TABLE b (x INTEGER);\n"


def tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return sorted(name for (name,) in connection.execute("SHOW TABLES").fetchall())


def test_forward_with_rows_kept() -> None:
    connection = duckdb.connect()
    assert migrate(connection, FIRST) == 1
    connection.execute("INSERT INTO a VALUES (1)")
    assert migrate(connection, SECOND) == migrate(connection, SECOND) == 2
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, 7)]
    assert connection.execute("SELECT version FROM schema_versions ORDER BY version").fetchall() == [(1,), (2,)]


def test_version_that_fails_leaves_nothing() -> None:
    connection = duckdb.connect()
    with pytest.raises(duckdb.Error):
        migrate(connection, BROKEN)
    assert tables(connection) == ["a", "b", "schema_versions"]
    assert migrate(connection, SECOND) == 2


def test_newer_store_is_refused() -> None:
    connection = duckdb.connect()
    migrate(connection, SECOND)
    with pytest.raises(StoreError, match="schema version 2, this Pocketformer knows 1"):
        migrate(connection, FIRST)


def test_own_schema_is_numbered_from_one() -> None:
    numbers = [number for number, _ in versions(schema_text())]
    assert numbers == list(range(1, newest_version() + 1))
    connection = duckdb.connect()
    migrate(connection)
    assert {"runs", "trials", "commands", "events", "measurements", "artifacts"} <= set(tables(connection))


def test_runs_of_the_first_version_are_kept_and_may_be_paused() -> None:
    connection = duckdb.connect()
    first = f"-- version 1: first{versions(schema_text())[0][1]}"
    migrate(connection, first)
    row = "('r', utc_now(), utc_now(), 'done', '{}', '{}', 3, 'an error')"
    connection.execute(f"INSERT INTO runs VALUES {row}")
    migrate(connection)
    assert connection.execute("SELECT run_id, status, state_version, error FROM runs").fetchall() == [
        ("r", "done", 3, "an error")
    ]
    connection.execute("UPDATE runs SET status = 'paused'")
    with pytest.raises(duckdb.ConstraintException):
        connection.execute("UPDATE runs SET status = 'asleep'")
