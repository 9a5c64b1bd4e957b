"""Files that a killed process leaves whole or absent, and work that only one process at a time does."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from data.errors import ArtifactError, Cancelled

POLL_S = 0.5


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Tensors, numbers and nested dicts of them.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    _replaced(path, lambda partial: torch.save(dict(state), partial))


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """None where there is no checkpoint. Plain tensors and numbers only: nothing in it is ever run."""
    if not path.is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    assert isinstance(state, dict)
    return state


class TrainingState:
    """What a training under way needs to go on after a kill: its weights, its optimizer and its counters, in one file."""

    def __init__(self, path: Path, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._path = path
        self._weights = weights
        self._optimizer = optimizer

    def save(self, counters: Mapping[str, float]) -> None:
        """Raises:
        ArtifactError: the disk is full or the folder cannot be written.
        """
        weights = {name: value.detach() for name, value in self._weights.items()}
        save_checkpoint({"weights": weights, "optimizer": self._optimizer.state_dict(), "counters": dict(counters)}, self._path)

    @torch.no_grad()
    def restore(self) -> dict[str, Any]:
        """Weights and optimizer as last saved, in place, and the counters; empty where nothing was saved."""
        state = load_checkpoint(self._path)
        if state is None:
            return {}
        for name, value in self._weights.items():
            value.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        return dict(state["counters"])


def save_weights(weights: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """A safetensors file with what it is written into it.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    _replaced(path, lambda partial: save_file(tensors, str(partial), dict(metadata)))


def save_text(text: str, path: Path) -> None:
    """Raises:
    ArtifactError: the disk is full or the folder cannot be written.
    """
    _replaced(path, lambda partial: partial.write_text(text, encoding="utf-8"))


@contextmanager
def only_one(path: Path, waiting: Callable[[], None], should_stop: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock file `path`; `waiting()` is called again and again while another process holds it. A dead process holds nothing.

    Raises:
        Cancelled: `should_stop()` turned true while waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if should_stop():
                    raise Cancelled("stopped while waiting for another process that makes the same") from None
                waiting()
                time.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def _replaced(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch and safetensors report a full disk as errors of their own
        partial.unlink(missing_ok=True)
        reason = " ".join(str(error).split())[:160]
        raise ArtifactError(
            f"cannot write {path} ({reason}); free disk space or set POCKETFORMER_HOME to another disk"
        ) from error
