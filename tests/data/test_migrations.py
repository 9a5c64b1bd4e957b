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


def test_a_store_of_one_device_has_its_latencies_by_device() -> None:
    """Runs of version 1 stay, and are read as runs for one device."""
    connection = duckdb.connect()
    first = schema_text().split("-- version 2:")[0]
    assert migrate(connection, first) == 1
    connection.execute("""
        INSERT INTO runs VALUES ('r', utc_now(), utc_now(), 'done', '{"device": "pixel-8", "latency_ms": 5}', NULL, 1, NULL);
        INSERT INTO trials (run_id, trial, phase, architecture, status, latency_ms, latency_source, created_at) VALUES
            ('r', 1, 1, 'L1', 'trained', 4.5, 'predicted', utc_now()), ('r', 2, 1, 'L2', 'failed', NULL, NULL, utc_now());
    """)
    assert migrate(connection) == newest_version()
    rows = connection.execute("SELECT run_id, trial, device, latency_ms, latency_source FROM latencies").fetchall()
    assert rows == [("r", 1, "pixel-8", 4.5, "predicted")]
    assert connection.execute("SELECT trial, model_mb FROM trials ORDER BY trial").fetchall() == [(1, None), (2, None)]


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
