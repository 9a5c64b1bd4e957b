"""`pocketformer export`: a run's trained model as weights, ONNX, LiteRT, or a bundle for this machine."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from app.terminal import Progress
from compiler.bundle import description_of
from data.artifacts import Artifacts
from data.errors import StoreError
from data.store import ArtifactRef, Store, open_store
from engine.settings import Settings
from engine.shipped import export_model


def run(args: Namespace) -> dict[str, Any]:
    with open_store() as store:
        settings = Settings.from_dict(store.run(args.run_id).settings)
        bundle = _bundle(store, args.run_id, args.trial)
        weights = weights_of(store, bundle)
    with Artifacts().open(bundle.sha256) as file:
        description = description_of(file)
    return {**export_model(settings, description, weights, Path(args.output), Progress().log), "trial": bundle.trial}


def render(result: dict[str, Any]) -> str:
    return f"{result['file']}: {result['architecture']}, {result['bytes'] / 1e6:.1f} MB"


def weights_of(store: Store, bundle: ArtifactRef) -> str:
    """The SHA-256 of a bundle's trained weights, as the last training reported them.

    Raises:
        StoreError: it reported none that were kept.
    """
    result = store.command(f"{bundle.run_id}.{bundle.trial}.final_train").result or {}
    if "weights_sha256" not in result:
        raise StoreError(f"the trained weights of run {bundle.run_id}, trial {bundle.trial}, were not kept")
    return str(result["weights_sha256"])


def _bundle(store: Store, run_id: str, trial: int | None) -> ArtifactRef:
    made = [each for each in store.artifacts(run_id) if each.kind == "bundle" and trial in (None, each.trial)]
    if not made:
        which = "no bundle yet" if trial is None else f"no bundle of trial {trial}"
        raise StoreError(f"the run {run_id} has {which}; `pocketformer search --resume {run_id}` goes on with it")
    return made[-1]
