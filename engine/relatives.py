"""Which of BERT's relatives are supported, and what their configurations say; no torch here, so that `show` is quick."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import ModelError
from engine.architecture import Albert, Architecture, MobileBert, SqueezeBert


@dataclass(frozen=True)
class Relative:
    """The `transformers` class of a kind, and what its parameters' names start with in a checkpoint."""

    model_class: str
    prefix: str
    kind: type[Architecture]


RELATIVES = {
    "mobilebert": Relative("MobileBertModel", "mobilebert.", MobileBert),
    "albert": Relative("AlbertModel", "albert.", Albert),
    "squeezebert": Relative("SqueezeBertModel", "transformer.", SqueezeBert),
}
SUPPORTED: dict[str, dict[str, Any]] = {  # values a configuration must have where it names the field
    "mobilebert": {
        "hidden_act": "relu", "trigram_input": True, "use_bottleneck": True, "use_bottleneck_attention": False,
        "key_query_shared_bottleneck": True, "normalization_type": "no_norm", "num_feedforward_networks": MobileBert.ffns,
    },
    "albert": {"num_hidden_groups": 1, "inner_group_num": 1},
    "squeezebert": {
        **dict.fromkeys(("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups"), SqueezeBert.groups),
        "post_attention_groups": 1,
    },
}  # fmt: skip


def is_relative(architecture: Architecture) -> bool:
    """Whether its layers are not BERT's own."""
    return any(type(architecture) is relative.kind for relative in RELATIVES.values())


def relative_architecture(folder: Path) -> Architecture | None:
    """What a Hugging Face folder's configuration says; None where its model type is not one of `RELATIVES`.

    Raises:
        ModelError: sizes are missing, or a variant that is not supported.
    """
    config = read_config(folder)
    model_type = str(config.get("model_type"))
    if model_type not in RELATIVES:
        return None
    for field, value in SUPPORTED[model_type].items():
        if config.get(field, value) != value:
            raise ModelError(f"model '{folder}' has {field} {config[field]}; only {value} is supported")
    try:
        hidden = int(config["hidden_size"])
        sizes = (
            hidden,
            int(config["num_attention_heads"]),
            (int(config["intermediate_size"]),) * int(config["num_hidden_layers"]),
        )
        width = int(config.get("embedding_size", hidden if model_type == "squeezebert" else 128))
        named: dict[str, Any] = {
            "embedding_size": 0 if width == hidden and model_type != "mobilebert" else width,
            "vocab_size": int(config["vocab_size"]),
            "max_positions": int(config.get("max_position_embeddings", 512)),
            "token_types": int(config.get("type_vocab_size", 2)),
        }
        if model_type == "mobilebert":
            return MobileBert(*sizes, **named, bottleneck_size=int(config.get("intra_bottleneck_size", 128)))
        return RELATIVES[model_type].kind(*sizes, **named)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"model '{folder}': its config.json lacks a usable {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json; empty where there is none or it is no JSON object."""
    try:
        value = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
