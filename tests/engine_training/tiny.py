"""A BERT small enough to train in a second, on a vocabulary of sixteen words."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.architecture import Architecture
from engine.encoder import Encoder

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "man",
    "woman",
    "plays",
    "sings",
    "the",
    "flute",
    "song",
    "runs",
    "eats",
    ".",
]
SENTENCES = [
    "a man plays the flute .",
    "a woman sings a song .",
    "the man runs .",
    "a woman eats .",
    "the woman plays a song .",
]
PAIRS = [(first, second) for first in SENTENCES for second in SENTENCES]
TINY = Architecture(hidden_size=16, heads=4, ffn_sizes=(32, 32, 32, 32), vocab_size=len(WORDS), max_positions=32)


def write_model(folder: Path, **changes: object) -> Path:
    """A BERT checkpoint in Hugging Face's layout, 4 layers of hidden size 16; `changes` go into its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "bert",
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "hidden_act": "gelu",
        "vocab_size": len(WORDS),
        "max_position_embeddings": 32,
        "type_vocab_size": 2,
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    encoder = Encoder(TINY, seed=1)
    for parameter in encoder.parameters():  # larger than BERT's initial weights, so that layers differ visibly
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    save_file({f"bert.{name}": tensor for name, tensor in encoder.state_dict().items()}, str(folder / "model.safetensors"))
    return folder
