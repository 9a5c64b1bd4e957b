"""torch, operator by operator."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from compiler.peers import INPUTS, Answer, Tokens


def load(file: Path, threads: int) -> Answer:
    return answer_of(module_of(file, threads))


def module_of(file: Path, threads: int) -> Any:
    """The exported program as a torch module that runs on so many threads."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    return torch.export.load(file).module()


def answer_of(module: Any) -> Answer:
    def answer(tokens: Tokens) -> np.ndarray:
        with torch.no_grad():
            found: torch.Tensor = module(*(torch.from_numpy(tokens[name]) for name in INPUTS))
        return found.numpy()

    return answer
