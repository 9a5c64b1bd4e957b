"""Reading `torch.export` files at twice torch's pace."""

import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def load_program(path: Path) -> Any:
    """As `torch.export.load`. Half of its time goes to finding the type hints of the same few classes thousands of times; here each
    class is asked once. Not to be called beside other threads that use `typing`.

    Raises:
        Exception: whatever torch raises.
    """
    import torch

    with _type_hints_remembered():
        return torch.export.load(path)


@contextmanager
def _type_hints_remembered() -> Iterator[None]:
    original = typing.get_type_hints
    known: dict[type, dict[str, Any]] = {}

    def remembered(of: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        if not isinstance(of, type):
            return original(of, *arguments, **options)
        if of not in known:
            known[of] = original(of, *arguments, **options)
        return known[of]

    typing.get_type_hints = remembered  # type: ignore[assignment]
    try:
        yield
    finally:
        typing.get_type_hints = original
