"""ExecuTorch with XNNPACK, on a program that its exporter lowers."""

from pathlib import Path

import numpy as np
import torch

from compiler.peers import INPUTS, Answer, Tokens


def convert(program: Path, samples: Path, out: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(torch.export.load(program), partitioner=[XnnpackPartitioner()])
    out.write_bytes(lowered.to_executorch().buffer)


def load(file: Path, threads: int) -> Answer:
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    portable_lib._unsafe_reset_threadpool(threads)  # there is no other way to say it from Python
    method = Runtime.get().load_program(file).load_method("forward")

    def answer(tokens: Tokens) -> np.ndarray:
        outputs = method.execute([torch.from_numpy(tokens[name]) for name in INPUTS])
        return np.asarray(outputs[0].numpy())

    return answer
