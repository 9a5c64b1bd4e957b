"""SQL text from a template and values, for Quack carries statements as text only: no parameters travel beside them."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_NAME = re.compile(r"\$([a-z_]+)")


def bind(template: str, **values: Any) -> str:
    """`template` with each `$name` replaced by its value as a literal. Values are never read as SQL, nor as templates."""
    return _NAME.sub(lambda match: literal(values[match[1]]), template)


def literal(value: Any) -> str:
    """A value as DuckDB writes it. Mappings and lists become JSON text, tuples a list for `IN`; NaN and infinity become NULL.

    Raises:
        TypeError: a value of another kind.
    """
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value!r}::DOUBLE" if math.isfinite(value) else "NULL"
    if isinstance(value, str):
        return "'" + _utf8(value).replace("'", "''") + "'"
    if isinstance(value, tuple):
        return "(" + (", ".join(map(literal, value)) or "NULL") + ")"
    if isinstance(value, Mapping | list):
        return literal(document(value))
    raise TypeError(f"no SQL literal for a {type(value).__name__}")


def document(value: Any) -> str:
    """A value as JSON text that DuckDB reads: NaN and infinity become null, NumPy's numbers and arrays plain ones."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_utf8(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return _utf8(str(value))


def _utf8(text: str) -> str:
    """Text without what DuckDB's strings cannot hold: NUL characters and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
