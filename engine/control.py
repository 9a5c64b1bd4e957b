"""What a user may ask of a search while it runs, or after: the events that `engine.search.step` takes besides those of its work.

Requests of one run are numbered from 1 in the order in which they were made, and each is taken once: a step passes over what it has
taken before, so that any process may feed them again, or late.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import UsageError


@dataclass(frozen=True)
class Pause:
    """Propose nothing more; work under way goes back into the queue, and nobody takes it."""

    number: int


@dataclass(frozen=True)
class Resume:
    """Go on after a pause."""

    number: int


@dataclass(frozen=True)
class Extend:
    """Try `trials` candidates in all. A run that is over goes on, if it got as far as its first candidate."""

    number: int
    trials: int


@dataclass(frozen=True)
class Drop:
    """Stop a candidate's work and take it out of the choice; a trained one too."""

    number: int
    trial: int
    reason: str = ""


Request = Pause | Resume | Extend | Drop
KINDS: dict[str, type[Pause] | type[Resume] | type[Extend] | type[Drop]] = {
    "pause": Pause,
    "resume": Resume,
    "extend": Extend,
    "drop": Drop,
}


def request_of(number: int, kind: str, values: Mapping[str, Any]) -> Request:
    """A request as the store keeps it.

    Raises:
        UsageError: no such kind, or other values than it has.
    """
    try:
        return KINDS[kind](number, **values)
    except (KeyError, TypeError):
        raise UsageError(
            f"unknown request '{kind}' with {', '.join(values) or 'nothing'}; known are {', '.join(KINDS)}"
        ) from None
