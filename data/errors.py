"""The errors a user can meet. Each boundary has its own; the command line and the pages show the message, which is one line."""

import sys
from collections.abc import Callable


class PocketformerError(Exception):
    """Base of every error with a message for the user: what is wrong and what to do, in one line."""

    exit_status = 1


class UsageError(PocketformerError):
    """The request itself is wrong (unknown name, impossible number). Raised before anything is written."""

    exit_status = 2


class StoreError(PocketformerError):
    """The trial store cannot be opened, reached or written. Raised by `data.store`."""


class ArtifactError(PocketformerError):
    """An artifact is missing, damaged, or cannot be written (disk full). Raised by `data.artifacts`."""


class TaskError(UsageError):
    """A task's name or its files do not make a data set. Raised by `data.tasks`."""


class ModelError(UsageError):
    """A preset, architecture string, folder or file is not a model we can read. Raised by `engine`."""


class TrainingError(PocketformerError):
    """Training cannot go on (the loss is not a number, the teacher does not fit). Raised by `engine`."""


class CompileError(PocketformerError):
    """A model did not compile, or its compiled form disagrees with torch. Raised by `compiler`."""


class CompileTimeout(CompileError):
    """Compilation passed its time limit and was stopped. Told apart from a failure, as a retry may help."""


class MeasureError(PocketformerError):
    """A latency could not be measured (device gone, unstable clock). Raised by `compiler.measure`."""


class DeviceLost(MeasureError):
    """A phone went away or stopped answering in the middle of work. Told apart from a failure, as a retry may help."""


class Cancelled(PocketformerError):
    """Work was stopped because a user, or the search itself, no longer wants it. Never a failure."""


def exit_status_of(name: str, work: Callable[[], object]) -> int:
    """What the process `name` ends with once its work is done: 0, or an error's own status, its message on standard error."""
    try:
        work()
    except PocketformerError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_status
    return 0
