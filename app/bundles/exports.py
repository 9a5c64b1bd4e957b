"""A bundle's model in other forms, each made once by a command in a process of its own, and kept for the next who ask."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app import background, source
from app.bundles.shelf import Shelved, path_of
from app.bundles.snippets import ANDROID
from app.commands.export import weights_of
from data.home import subfolder


@dataclass(frozen=True)
class Form:
    """One more form: its file's ending, what a user calls it, and what it is good for."""

    suffix: str
    title: str
    note: str


SAFETENSORS = Form(".safetensors", "safetensors", "The trained weights, with BERT's parameter names.")
ONNX = Form(".onnx", "ONNX", "For other runtimes: batch 1, the run's sequence length, int64 inputs.")
LITERT = Form(".tflite", "LiteRT", "For LiteRT (TensorFlow Lite): as ONNX. Made by litert-torch.")
AAR = Form(".aar", "Android library", "One file for an Android app, weights included: app/libs/model.aar.")
HOST_BUNDLE = Form(".zip", "bundle for this machine", "The same model compiled for this machine, to be tried here.")


def forms(each: Shelved) -> list[Form]:
    """Those that can be had of a bundle."""
    found = [SAFETENSORS, ONNX, *([LITERT] if find_spec("litert_torch") else [])]
    return [*found, AAR] if each.model.get("system") == ANDROID else found


def file_of(each: Shelved, form: Form) -> Path | None:
    """The form, where it has been made."""
    path = _path(each, form)
    return path if path.exists() else None


def name_of(each: Shelved, form: Form) -> str:
    return Path(each.artifact.name).stem + form.suffix


def key_of(each: Shelved, form: Form) -> str:
    return f"export-{each.key}{form.suffix}"


def begin(each: Shelved, form: Form) -> None:
    """
    Raises:
        PocketformerError: as `background.begin`; the run is no longer in the store, its weights were not kept, or an .aar's bundle is
            not to be had.
    """
    out = str(_path(each, form))
    if form is AAR:
        background.begin(key_of(each, form), ["aar", str(path_of(each)), "-o", out])
        return
    store = source.store()
    job = {
        "settings": store.run(each.artifact.run_id, with_state=False).settings,
        "model": each.model,
        "weights": weights_of(store, each.artifact),
        "out": out,
    }
    background.begin(key_of(each, form), [json.dumps(job)], module="app.bundles.exporter")


def _path(each: Shelved, form: Form) -> Path:
    return subfolder("cache", "exports") / f"{each.artifact.sha256}{form.suffix}"
