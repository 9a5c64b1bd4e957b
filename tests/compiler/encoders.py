"""Small encoders, and requests to compile them."""

from pathlib import Path
from typing import Any

import numpy as np

from compiler.build import BuildRequest

VOCABULARY = 100


def sentences(count: int, seq_len: int, vocabulary: int = VOCABULARY) -> dict[str, np.ndarray]:
    """Padded pairs of random words, each of another length."""
    random = np.random.default_rng(0)
    mask, types = np.zeros((2, count, seq_len), np.int64)
    for row in range(count):
        length = max(2, seq_len - row * seq_len // (count + 1))
        mask[row, :length] = 1
        types[row, length // 2 : length] = 1
    ids = random.integers(1, vocabulary, (count, seq_len)) * mask
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}


def export(module: Any, folder: Path, seq_len: int, count: int = 4) -> BuildRequest:
    """A request for a torch module, its samples answered by torch."""
    import torch

    inputs = sentences(count, seq_len)
    module = module.eval()
    example = tuple(torch.from_numpy(item[:1]) for item in inputs.values())
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        torch.export.save(torch.export.export(module, example), folder / "model.pt2")
        rows = [module(*(torch.from_numpy(item[row : row + 1]) for item in inputs.values())).numpy() for row in range(count)]
    np.savez(folder / "samples.npz", expected=np.concatenate(rows), **inputs)
    return BuildRequest(folder / "model.pt2", folder / "samples.npz")


def encoder(hidden_size: int = 64, heads: int = 2, ffn_sizes: tuple[int, ...] = (128,), outputs: int = 2, pooling: Any = "mean",
            embedding_size: int = 0) -> Any:  # fmt: skip
    """An encoder with weights large enough for every part to matter."""
    import torch

    from engine.architecture import Architecture
    from engine.encoder import Encoder

    architecture = Architecture(hidden_size, heads, ffn_sizes, embedding_size, vocab_size=VOCABULARY)
    module = Encoder(architecture, outputs, pooling)
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter.add_(noise * (0.3 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5))
    return module
