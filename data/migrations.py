"""Brings a store's schema forward: `data/schema.sql` holds every version, the table `schema_versions` says which are applied."""

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from data.errors import StoreError

if TYPE_CHECKING:
    import duckdb

_VERSION = re.compile(r"^-- version (\d+):.*$", re.MULTILINE)


@cache
def schema_text() -> str:
    """What `data/schema.sql` says."""
    return files("data").joinpath("schema.sql").read_text(encoding="utf-8")


def versions(schema: str) -> list[tuple[int, str]]:
    """Each version's number and statements, in order."""
    parts = _VERSION.split(schema)
    return list(zip(map(int, parts[1::2]), parts[2::2], strict=True))


def newest_version() -> int:
    """The schema version that this code writes."""
    return versions(schema_text())[-1][0]


def migrate(connection: "duckdb.DuckDBPyConnection", schema: str = "") -> int:
    """Apply the versions that are missing, each whole or not at all; returns the version that the store has now.

    Args:
        schema: the text to take in place of `data/schema.sql`.

    Raises:
        StoreError: the store was written by a newer Pocketformer.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, applied_at TIMESTAMP NOT NULL)"
    )
    row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_versions").fetchone()
    current = row[0] if row else 0
    known = versions(schema or schema_text())
    newest = known[-1][0]
    if current > newest:
        raise StoreError(f"the store has schema version {current}, this Pocketformer knows {newest}; use a newer Pocketformer")
    for version, statements in known:
        if version > current:
            connection.execute("BEGIN")
            try:
                connection.execute(statements)
                connection.execute(f"INSERT INTO schema_versions VALUES ({version}, make_timestamp(epoch_us(now())))")
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
    return newest
