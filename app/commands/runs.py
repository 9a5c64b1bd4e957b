"""`pocketformer runs`: the newest runs, and what a user may ask of one."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from app.terminal import table
from data.errors import UsageError

if TYPE_CHECKING:
    from data.store import Run, Store

MOST = 20


def run(args: Namespace) -> Any:
    from data.store import open_store

    with open_store() as store:
        newest = store.runs(limit=MOST)
        if args.action == "list":
            return [_facts(each) for each in newest]
        if not args.run_id and (not newest or args.action == "remove"):
            raise UsageError(f"runs {args.action}: give the run; `pocketformer runs` lists them")
        run_id = store.run(args.run_id or newest[0].run_id, with_state=False).run_id
        if args.action == "remove":
            from data.removal import remove_run

            return {"run_id": run_id, "status": "removed", "bytes_freed": remove_run(store, run_id)}
        _ask(store, run_id, args)
        from jobs.driver import advance

        advance(store, run_id)
        return _facts(store.run(run_id, with_state=False))


def render(result: Any) -> str:
    if isinstance(result, dict):
        text = f"run {result['run_id']}: {result['status']}"
        return f"{text}, {result['bytes_freed'] / 1e6:.1f} MB freed" if "bytes_freed" in result else text
    rows = [
        (each["run_id"], each["status"], each["task"], each["device"], each["latency_ms"], each["trials"]) for each in result
    ]
    return table(("run", "status", "task", "device", "target ms", "trials"), rows)


def extend(store: "Store", run_id: str, trials: int) -> None:
    """Ask for `trials` trials in all.

    Raises:
        UsageError: the run has as many already.
    """
    before = int(store.run(run_id, with_state=False).settings["trials"])
    if trials <= before:
        raise UsageError(f"--trials {trials}: the run has {before} already; give more")
    store.ask(run_id, "extend", {"trials": trials})


def _ask(store: "Store", run_id: str, args: Namespace) -> None:
    found = store.run(run_id, with_state=False)
    if args.action != "extend" and found.over:
        raise UsageError(f"run {run_id} is {found.status}; only extend and remove take a run that is over")
    if args.action == "cancel":
        store.request_cancel(run_id)
    elif args.action == "extend":
        if args.trials is None:
            raise UsageError("runs extend: give --trials, how many in all")
        extend(store, run_id, args.trials)
    elif args.action == "drop":
        numbers = [trial.trial for trial in store.trials(run_id) if trial.status in ("running", "trained")]
        if args.trial not in numbers:
            known = ", ".join(map(str, numbers)) or "none now"
            raise UsageError(f"runs drop: give --trial, a candidate that runs or is trained: {known}")
        store.ask(run_id, "drop", {"trial": args.trial, "reason": args.reason})
    else:
        store.ask(run_id, args.action)


def _facts(found: "Run") -> dict[str, Any]:
    settings = found.settings
    kept = {name: settings.get(name) for name in ("task", "device", "latency_ms", "trials")}
    return {"run_id": found.run_id, "status": found.status, "created_at": found.created_at.isoformat(), **kept}
