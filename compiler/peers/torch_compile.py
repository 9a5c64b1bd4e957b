"""torch.compile with frozen, that is pre-packed, weights: its fastest form for inference on a CPU."""

import os
from pathlib import Path

import torch

from compiler.peers import Answer
from compiler.peers.torch_eager import answer_of, module_of
from data.home import subfolder


def load(file: Path, threads: int) -> Answer:
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(subfolder("cache", "inductor")))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no processes that would be left beside the timing
    return answer_of(torch.compile(module_of(file, threads), options={"freezing": True}))
