"""A run's trained model in other forms than its bundle: weights, ONNX, LiteRT, or a bundle for this machine."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler.devices import HOST
from compiler.precisions import FP32
from compiler.targets import precisions_of
from data.artifacts import Artifacts
from data.errors import ModelError, PocketformerError, UsageError
from data.home import subfolder
from engine.architecture import Architecture
from engine.settings import Settings

SUFFIXES = (".safetensors", ".onnx", ".tflite", ".zip")
Log = Callable[[str], None]


def export_model(
    settings: Settings, description: dict[str, Any], weights_sha256: str, out: Path, log: Log = print
) -> dict[str, Any]:
    """Write the model that a bundle was made of, in the form that the file's name tells; under that name whole or not at all.

    Args:
        description: the bundle's `model.json`.
        weights_sha256: of the artifact with the trained weights.

    Raises:
        UsageError: a name that tells no form.
        ArtifactError: the weights are not there.
        ModelError, CompileError: as the functions below.
        PocketformerError: the file cannot be written.
    """
    if out.suffix not in SUFFIXES:
        raise UsageError(f"-o {out}: the form is told by the name; end it in {', '.join(SUFFIXES)}")
    architecture = Architecture.parse(description["architecture"])
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        log("reading the weights")
        weights = Artifacts().get(weights_sha256, Path(scratch) / "weights.safetensors")
        made = weights if out.suffix == ".safetensors" else Path(scratch) / f"model{out.suffix}"
        log(f"writing {out.name}")
        if out.suffix == ".onnx":
            write_onnx(architecture, settings, weights, made)
        elif out.suffix == ".tflite":
            write_litert(architecture, settings, weights, made)
        elif out.suffix == ".zip":
            write_host_bundle(architecture, settings, weights, description, made, log)
        _move(made, out)
    return {"file": str(out), "bytes": out.stat().st_size, "architecture": str(architecture)}


def write_onnx(architecture: Architecture, settings: Settings, weights: Path, out: Path) -> None:
    """Batch 1; inputs `input_ids`, `token_type_ids`, `attention_mask`, int64 (1, S), S the run's sequence length; output float32 (1, N)."""
    import onnx

    from engine.export import Reference, export_onnx

    encoder, tokenizer = _trained(architecture, settings, weights)
    exported = out.with_name(f"exported-{out.name}")
    export_onnx(Reference(str(architecture), architecture, encoder, tokenizer), settings.seq_len, exported)
    onnx.save_model(onnx.load(str(exported)), str(out))  # in one file: torch leaves the weights in another beside it


def write_litert(architecture: Architecture, settings: Settings, weights: Path, out: Path) -> None:
    """Inputs and output as of ONNX, in their order.

    Raises:
        ModelError: the converter is not installed.
    """
    from compiler.peers.lite_rt import convert
    from engine.candidates import export_trained

    try:
        import litert_torch  # noqa: F401
    except ImportError as error:
        raise ModelError("LiteRT's converter is not installed; `make peers` installs it") from error
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        convert(*export_trained(architecture, settings, weights, Path(scratch)), out)


def write_host_bundle(
    architecture: Architecture, settings: Settings, weights: Path, description: dict[str, Any], out: Path, log: Log
) -> None:
    """The same model compiled for this machine, in float32 where that has not the precision.

    Args:
        description: `model.json` of the bundle that it is made of; what was true of another device is left out.

    Raises:
        CompileError: as `compiler.build.build`.
    """
    from compiler.build import build
    from compiler.bundle import write_bundle
    from engine.candidates import export_candidate
    from engine.teacher import model_folder, read_tokenizer

    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        precision = settings.precision if settings.precision in precisions_of(HOST) else FP32
        log(f"exporting {architecture}")
        request = export_candidate(architecture, settings, weights, Path(scratch) / "export")
        log("compiling for this machine")
        built = build(replace(request, device=HOST, precision=precision), Path(scratch) / "built", log=log)
        tokenizer = read_tokenizer(model_folder(settings.teacher), settings.teacher)
        here = {
            **description,
            "device": HOST,
            "system": None,
            "precision": precision,
            "seq_lens": built.seq_lens,
            "latency": None,
            "latency_by_length": [],
            "fusion": {"kernels": built.kernels, "blocks": built.blocks},
            "max_abs_error": built.max_abs_error,
        }
        write_bundle(built.folder, out, here, tokenizer.to_str())


def _move(made: Path, out: Path) -> None:
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, part)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PocketformerError(f"cannot write {out}: {error.strerror}; choose another place") from error


def _trained(architecture: Architecture, settings: Settings, weights: Path) -> tuple[Any, Any]:
    """The encoder with its head in evaluation mode, and its tokenizer."""
    from safetensors.torch import load_file

    from data.tasks import load_task
    from engine.encoder import Encoder
    from engine.problem import pooling_of
    from engine.teacher import model_folder, read_tokenizer

    task = load_task(settings.task)
    encoder = Encoder(architecture, task.outputs, pooling_of(task), settings.seed)
    encoder.load_state_dict(load_file(str(weights)))
    return encoder.eval().requires_grad_(False), read_tokenizer(model_folder(settings.teacher), settings.teacher)
