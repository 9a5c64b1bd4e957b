"""Values become SQL literals and never SQL."""

import numpy as np
import pytest

from data.sql import bind, document, literal


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "NULL"),
        (True, "TRUE"),
        (3, "3"),
        (0.1, "0.1::DOUBLE"),
        (float("inf"), "NULL"),
        (np.float32(0.5), "0.5::DOUBLE"),
        (np.int64(7), "7"),
        ("it's", "'it''s'"),
        (("a", "b'"), "('a', 'b''')"),
        ((), "(NULL)"),
        ({"a": [1, float("nan")]}, """'{"a":[1,null]}'"""),
    ],
)
def test_literal(value: object, expected: str) -> None:
    assert literal(value) == expected


def test_bind_reads_values_once() -> None:
    """A value that looks like a template's name stays text."""
    assert bind("SELECT $a, $b", a="$b", b="$a'") == "SELECT '$b', '$a'''"


def test_other_values_are_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        literal(object())


def test_document_takes_numpy() -> None:
    assert document({"x": np.arange(3), 1: (np.float64("nan"), "\ud800")}) == '{"x":[0,1,2],"1":[null,"?"]}'
