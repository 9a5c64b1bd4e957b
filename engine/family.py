"""BERT's relatives whose layers are not BERT's (MobileBERT, ALBERT, SqueezeBERT), by `transformers`' own classes.

They are compiled, measured and compared, not searched or distilled: `engine.encoder` is for that. From a folder, only the
configuration and safetensors weights are read; no code of a checkpoint is ever run.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data.errors import ModelError
from engine.architecture import Architecture, MobileBert
from engine.encoder import mean_of_tokens
from engine.relatives import RELATIVES, Relative, read_config, relative_architecture


class RelativeEncoder(nn.Module):
    """A `transformers` body and the mean of its real tokens: three int64 tensors (B, S) -> float32 (B, H)."""

    def __init__(self, architecture: Architecture, body: nn.Module) -> None:
        super().__init__()
        self.architecture = architecture
        self.body = body

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.body(
            input_ids=input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask
        ).last_hidden_state  # (B, S, H)
        return mean_of_tokens(hidden, attention_mask.to(hidden.dtype))


def relative_encoder(architecture: Architecture, seed: int = 0) -> RelativeEncoder:
    """Of an architecture that `RELATIVES` has, with random weights as `transformers` draws them."""
    model_type, relative = next((name, entry) for name, entry in RELATIVES.items() if type(architecture) is entry.kind)
    fields: dict[str, Any] = {
        "hidden_size": architecture.hidden_size,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "intermediate_size": architecture.ffn_sizes[0],
        "embedding_size": architecture.embedding_size or architecture.hidden_size,
        "vocab_size": architecture.vocab_size,
        "max_position_embeddings": architecture.max_positions,
        "type_vocab_size": architecture.token_types,
    }
    if isinstance(architecture, MobileBert):
        fields["intra_bottleneck_size"] = architecture.bottleneck_size
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RelativeEncoder(architecture, _body(relative, model_type, fields))


def load_relative(folder: Path) -> RelativeEncoder | None:
    """The model in a Hugging Face folder, or None, as `relative_architecture`.

    Raises:
        ModelError: no safetensors, weights that are damaged or do not fit the configuration.
    """
    architecture = relative_architecture(folder)
    if architecture is None:
        return None
    config = read_config(folder)
    relative = RELATIVES[str(config["model_type"])]
    body = _body(relative, str(config["model_type"]), config)
    _load(body, folder, relative.prefix)
    return RelativeEncoder(architecture, body)


def _body(relative: Relative, model_type: str, fields: dict[str, Any]) -> nn.Module:
    import transformers

    model_class = getattr(transformers, relative.model_class)
    try:
        config = model_class.config_class.from_dict({**fields, "dtype": "float32", "torch_dtype": "float32"})
        model = model_class(config)
    except Exception as error:  # transformers raises errors of its own for each field
        raise ModelError(f"its configuration does not make a model of type '{model_type}' ({error})") from error
    if hasattr(model, "pooler"):
        model.pooler = nn.Identity()  # of what it makes, nothing is read
    return model


def _load(body: nn.Module, folder: Path, prefix: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    if not file.is_file():
        raise ModelError(f"model '{folder}' has no model.safetensors; pickled weights are never read, convert them first")
    try:
        stored = {name.removeprefix(prefix): tensor for name, tensor in load_file(str(file)).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"model '{folder}': model.safetensors cannot be read ({error}); download it again") from error
    wanted = body.state_dict()
    for name, tensor in wanted.items():
        if name not in stored:
            raise ModelError(f"model '{folder}': model.safetensors lacks {name}")
        if stored[name].shape != tensor.shape:
            shapes = f"{tuple(stored[name].shape)}, config.json says {tuple(tensor.shape)}"
            raise ModelError(f"model '{folder}': {name} has shape {shapes}")
    body.load_state_dict({name: stored[name].float() for name in wanted})
