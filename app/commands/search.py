"""`pocketformer search`: a whole search in this process, without a broker."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.trials import latency_facts, trials_json
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
    if "also" in given:
        given["also"] = _targets(given["also"])
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


def _targets(pairs: list[tuple[str, float]]) -> dict[str, float]:
    twice = {device for device, _ in pairs if sum(device == each for each, _ in pairs) > 1}
    if twice:
        raise UsageError(f"--also names {sorted(twice)[0]} twice; give each device one latency target")
    return dict(pairs)


def render(result: dict[str, Any]) -> str:
    best = result["best"]
    several = len(result["bundles"]) > 1
    latencies = ", ".join(
        f"{found['latency_ms']:.2f} ms{f' on {device}' if several else ''} ({latency_facts(found)})"
        for device, found in best["latencies"].items()
    )
    files = "\n".join(f"bundle{f' for {device}' if several else ''}: {path}" for device, path in result["bundles"].items())
    return (
        f"{render_trials(result['trials'])}\n\nbest: {best['architecture']}, {latencies}, "
        f"accuracy {best['final_accuracy']:.4f}\n{files}"
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
    run = store.run(run_id)
    trials = trials_json(store, run, store.trials(run_id))
    made = {each.name: each for each in store.artifacts(run_id) if each.kind == "bundle"}
    state = run.state or {}
    best = next(trial for trial in trials if trial["trial"] == state["best"])
    names = state["trials"][state["best"] - 1].get("bundles")
    if not names:  # of a run from before there were several devices
        names = {run.settings["device"]: next(name for name, each in made.items() if each.trial == state["best"])}
    bundles = {device: str(_bundle_file(run_id, made[name], output, device, len(names) > 1)) for device, name in names.items()}
    return {"run_id": run_id, "trials": trials, "best": best, "bundle": bundles[run.settings["device"]], "bundles": bundles}


def _bundle_file(run_id: str, bundle: "ArtifactRef", output: str | None, device: str, several: bool) -> Path:
    """The bundle under its own name beside the run's other files, or where the user wants it: of several devices each with its name in
    the file's."""
    from data.artifacts import Artifacts

    path = Path(output).absolute() if output else subfolder("runs", run_id) / bundle.name
    if output and several:
        path = path.with_name(f"{path.stem}-{device}{path.suffix}")
    Artifacts().get(bundle.sha256, path)
    return path
