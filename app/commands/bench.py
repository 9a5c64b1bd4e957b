"""`pocketformer bench`: latency of a model or a bundle, beside other runtimes in the same run."""

import statistics
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from app.models import BundledModel, Figures, check_batch
from app.terminal import Progress, table
from compiler.bundle import read_bundle
from compiler.devices import check_device
from data.errors import UsageError
from data.home import subfolder

if TYPE_CHECKING:
    from compiler.measure import Latency

ROUNDS = 3  # ours and the peers take turns, so that a drift of the machine's speed meets all of them

Timer = Callable[..., "Latency"]  # takes `runs`


def run(args: Namespace) -> dict[str, Any]:
    from compiler.peers import check_peers

    check_device(args.device)
    check_batch(args.batch)
    peers = tuple(name for name in args.against.split(",") if name)
    check_peers(peers)
    if args.runs is not None and args.runs < ROUNDS:
        raise UsageError(f"--runs {args.runs}: give at least {ROUNDS}")
    progress = Progress()
    with TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        architecture, seq_len, timers = _timers(args, peers, Path(scratch), progress)
        rounds: dict[str, list[Latency]] = {name: [] for name in timers}
        for number in range(ROUNDS):
            for name, timer in timers.items():
                progress.bar(f"round {number + 1} of {ROUNDS}: {name}", number / ROUNDS)
                rounds[name].append(timer(runs=args.runs and -(-args.runs // ROUNDS)))
        progress.close()
    return _result(args, architecture, seq_len, rounds)


def render(result: dict[str, Any]) -> str:
    rows = [("pocketformer", *_cells(result["latency_ms"]), "1.00")]
    rows += [(name, *_cells(peer), f"{peer['ratio']:.2f}") for name, peer in result["peers"].items()]
    title = f"{result['architecture']}, sequence length {result['seq_len']}, {result['threads']} threads"
    share = (
        f"{result['gflops']:.0f} GFLOP/s, {result['peak_fraction']:.0%} of this machine's peak of {result['peak_gflops']:.0f}"
    )
    header = ("runtime", "median ms", "p10", "p90", "times ours")
    return f"{title}\n{table(header, rows)}\n{share}"


def _timers(
    args: Namespace, peers: tuple[str, ...], scratch: Path, progress: Progress
) -> tuple[Figures, int, dict[str, Timer]]:
    """What is to be timed, ours first."""
    from compiler.build import BuildRequest, build
    from compiler.measure import measure
    from compiler.peers import measure_peer

    timers: dict[str, Timer] = {}
    architecture: Figures
    if Path(args.model).suffix == ".zip":
        bundle = read_bundle(Path(args.model))
        architecture, seq_len, folder = BundledModel(bundle), bundle.seq_len, bundle.folder
    else:
        from engine.export import export_reference, reference_model

        reference = reference_model(args.model, seq_len=args.seq_len)
        architecture, seq_len = reference.architecture, args.seq_len
        progress.log(f"compiling {args.model} ({architecture})")
        exported = export_reference(reference, seq_len, scratch / "export")
        request = BuildRequest(*exported, args.device, args.precision, seq_len=seq_len)
        folder = build(request, scratch / "built", log=progress.log).folder
    timers["pocketformer"] = partial(measure, folder, args.device, args.threads)
    if peers:
        from engine.export import export_onnx, reference_model

        progress.log(f"exporting {architecture} to ONNX for {', '.join(peers)}")
        written = str(architecture) if Path(args.model).suffix == ".zip" else args.model
        onnx = export_onnx(reference_model(written, seq_len=seq_len), seq_len, scratch / "model.onnx")
        for name in peers:
            timers[name] = partial(measure_peer, name, onnx, seq_len=seq_len, threads=args.threads)
    return architecture, seq_len, timers


def _result(args: Namespace, architecture: Figures, seq_len: int, rounds: dict[str, list["Latency"]]) -> dict[str, Any]:
    from compiler.peak import peak_gflops

    figures = {name: _median(latencies) for name, latencies in rounds.items()}
    ours = figures.pop("pocketformer")
    threads = rounds["pocketformer"][0].threads
    peak = peak_gflops(threads)
    gflops = architecture.flops(seq_len) / 1e6 / ours["median"]
    return {
        "model": args.model,
        "architecture": str(architecture),
        "device": args.device,
        "seq_len": seq_len,
        "threads": threads,
        "latency_ms": ours,
        "latency_source": rounds["pocketformer"][0].source,
        "gflops": gflops,
        "peak_gflops": peak,
        "peak_fraction": gflops / peak,
        "peers": {name: {**peer, "ratio": peer["median"] / ours["median"]} for name, peer in figures.items()},
    }


def _median(latencies: list["Latency"]) -> dict[str, float]:
    return {
        "median": statistics.median(each.median_ms for each in latencies),
        "p10": statistics.median(each.p10_ms for each in latencies),
        "p90": statistics.median(each.p90_ms for each in latencies),
    }


def _cells(figures: dict[str, float]) -> tuple[str, str, str]:
    return f"{figures['median']:.2f}", f"{figures['p10']:.2f}", f"{figures['p90']:.2f}"
