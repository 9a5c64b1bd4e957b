"""LiteRT with XNNPACK, on a model that litert-torch converts from the torch program."""

from pathlib import Path

import numpy as np

from compiler.peers import INPUTS, Answer, Tokens


def convert(program: Path, samples: Path, out: Path) -> None:
    import litert_torch
    import torch

    with np.load(samples) as arrays:
        example = tuple(torch.from_numpy(arrays[name][:1]) for name in INPUTS)
    litert_torch.convert(torch.export.load(program).module(), example).export(str(out))


def load(file: Path, threads: int) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=threads)
    interpreter.allocate_tensors()
    by_name = sorted(interpreter.get_input_details(), key=lambda item: item["name"])  # ..._args_0, ..._args_1, ..._args_2
    taken = [(name, item["index"], item["dtype"]) for name, item in zip(INPUTS, by_name, strict=True)]
    output = interpreter.get_output_details()[0]["index"]

    def answer(tokens: Tokens) -> np.ndarray:
        for name, index, dtype in taken:
            interpreter.set_tensor(index, tokens[name].astype(dtype))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(output))

    return answer
