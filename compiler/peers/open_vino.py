"""OpenVINO on the CPU, for latency and in fp32: on processors that have bf16 it would take that by itself."""

from pathlib import Path

import numpy as np
import openvino

from compiler.peers import Answer, Tokens


def load(file: Path, threads: int) -> Answer:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(str(file), "CPU", settings)
    request = model.create_infer_request()
    taken = [item.get_any_name() for item in model.inputs]

    def answer(tokens: Tokens) -> np.ndarray:
        request.infer({name: tokens[name] for name in taken}, share_inputs=True)
        return np.array(request.get_output_tensor(0).data)

    return answer
