"""ONNX Runtime, its CPU provider."""

from pathlib import Path

import numpy as np
import onnxruntime

from compiler.peers import Answer, Tokens


def load(file: Path, threads: int) -> Answer:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    taken = [item.name for item in session.get_inputs()]

    def answer(tokens: Tokens) -> np.ndarray:
        return np.asarray(session.run(None, {name: tokens[name] for name in taken})[0])

    return answer
