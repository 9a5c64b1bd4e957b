"""`pocketformer search`: a whole search in this process, without a broker."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.trials import latency_facts, trial_json
from app.commands.trials import render as render_trials
from app.terminal import Progress
from data.errors import Cancelled, PocketformerError, UsageError
from data.home import subfolder
from engine.settings import Settings

if TYPE_CHECKING:
    from data.store import ArtifactRef, Event, Store


def run(args: Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in Settings.names() if getattr(args, name, None) is not None}
    fixed = [name for name in given if name != "trials"]
    if args.resume and fixed:
        raise UsageError(f"--resume goes on with the run's own settings; leave --{', --'.join(fixed).replace('_', '-')} away")
    settings = None if args.resume else Settings.from_dict(given)
    from data.store import open_store
    from jobs.driver import start_run
    from jobs.local import run_local

    with open_store() as store:
        run_id = _taken_up(store, args.resume, args.trials) if settings is None else start_run(store, settings)
        progress = Progress()
        progress.log(f"run {run_id}; if it is interrupted: pocketformer search --resume {run_id}")
        try:
            finished = run_local(store, run_id, on_event=lambda event: _show(progress, event))
        finally:
            progress.close()
        if finished.status == "cancelled":
            raise Cancelled(f"run {run_id} was cancelled")
        if finished.status != "done":
            raise PocketformerError(f"run {run_id} failed: {finished.error}")
        return _result(store, run_id, args.output)


def render(result: dict[str, Any]) -> str:
    best = result["best"]
    return (
        f"{render_trials(result['trials'])}\n\nbest: {best['architecture']}, {best['latency_ms']:.2f} ms "
        f"({latency_facts(best)}), accuracy {best['final_accuracy']:.4f}\nbundle: {result['bundle']}"
    )


def _taken_up(store: "Store", run_id: str, trials: int | None) -> str:
    """A run to go on with, after a pause too, and to that many trials in all.

    Raises:
        UsageError: it has as many already.
    """
    from app.commands.runs import extend

    if trials is not None:
        extend(store, run_id, trials)
    if store.run(run_id, with_state=False).status == "paused":
        store.ask(run_id, "resume")
    return run_id


def _show(progress: Progress, event: "Event") -> None:
    if "fraction" in event.data:
        progress.bar(event.message, event.data["fraction"])
    else:
        progress.log(event.message)


def _result(store: "Store", run_id: str, output: str | None) -> dict[str, Any]:
    trials = [trial_json(trial) for trial in store.trials(run_id)]
    bundle = next(artifact for artifact in store.artifacts(run_id) if artifact.kind == "bundle")
    best = next(trial for trial in trials if trial["trial"] == bundle.trial)
    return {"run_id": run_id, "trials": trials, "best": best, "bundle": str(_bundle_file(run_id, bundle, output))}


def _bundle_file(run_id: str, bundle: "ArtifactRef", output: str | None) -> Path:
    """The bundle under its own name beside the run's other files, or where the user wants it."""
    from data.artifacts import Artifacts

    path = Path(output).absolute() if output else subfolder("runs", run_id) / bundle.name
    Artifacts().get(bundle.sha256, path)
    return path
