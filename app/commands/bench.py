"""`pocketformer bench`: latency of a model or a bundle, beside other runtimes in the same run."""

import json
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from app.models import BundledModel, Figures, check_batch
from app.terminal import Progress, table
from compiler.bundle import Bundle, read_bundle
from compiler.devices import HOST, check_measurable, split_serial
from data.errors import MeasureError, UsageError
from data.home import subfolder
from engine.architecture import DEFAULT_SEQ_LEN

if TYPE_CHECKING:
    from compiler.measure import Latency
    from compiler.rounds import Timer


def run(args: Namespace) -> dict[str, Any]:
    from compiler.build import check_fusion
    from compiler.peers import check_peers
    from compiler.rounds import ROUNDS, in_turns
    from compiler.targets import check_precision

    check_measurable(args.device)
    check_precision(args.device, args.precision)
    check_fusion(args.fusion)
    check_batch(args.batch)
    peers = tuple(name for name in args.against.split(",") if name)
    check_peers(peers)
    if peers and args.device != HOST:
        raise UsageError(f"--against times other runtimes on this machine alone; leave it, or --device {args.device}, away")
    if args.runs is not None and args.runs < ROUNDS:
        raise UsageError(f"--runs {args.runs}: give at least {ROUNDS}")
    progress = Progress()
    if args.device != HOST:
        from compiler.phone.choose import where

        progress.log(f"measuring on {where(args.device)}")
    with TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        architecture, seq_lens, folder, timers = _timers(args, peers, Path(scratch), progress)
        rounds = in_turns(
            timers, ROUNDS, lambda number, name: progress.bar(f"round {number} of {ROUNDS}: {name}", (number - 1) / ROUNDS)
        )
        progress.close()
        kernels = _profile(folder, args, seq_lens[-1]) if args.profile else None
    result = {**_result(args, architecture, seq_lens, rounds), "kernels": kernels}
    if kernels and args.fusion == "lp":
        _keep_profile(result, args)
    return result


def render(result: dict[str, Any]) -> str:
    rows = [("pocketformer", *_cells(result["latency_ms"]), "1.00")]
    rows += [(name, *_cells(peer), f"{peer['ratio']:.2f}") for name, peer in result["peers"].items()]
    title = f"{result['architecture']}, sequence length {result['seq_len']}, {result['threads']} threads"
    share = f"{result['gflops']:.0f} GFLOP/s"
    if result["peak_gflops"]:
        share += f", {result['peak_fraction']:.0%} of this machine's peak of {result['peak_gflops']:.0f}"
    if result["latency_source"] != "measured":
        share += f"; {result['latency_source']}, which says nothing of a phone's latency"
    if result["conditions"]:
        share += f"\n{_conditions(result['conditions'])}"
    kernels = f"\n{_kernel_table(result['kernels'])}" if result["kernels"] else ""
    header = ("runtime", "median ms", "p10", "p90", "times ours")
    shorter = [(str(each["seq_len"]), *_cells(each)) for each in result["latency_by_length"][:-1]]
    lengths = f"\n{table(('pocketformer, tokens', 'median ms', 'p10', 'p90'), shorter)}" if shorter else ""
    return f"{title}\n{table(header, rows)}\n{share}{lengths}{kernels}"


def _kernel_table(kernels: list[dict[str, Any]]) -> str:
    """One row for a block of every layer."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for each in kernels:
        alike.setdefault(each["name"].rpartition(".")[2], []).append(each)
    total_us = sum(each["us"] for each in kernels)
    rows = []
    for name, calls in alike.items():
        us = sum(each["us"] for each in calls)
        rates = [each["gflops"] for each in calls]
        rate = None if None in rates else f"{sum(each['gflops'] * each['us'] for each in calls) / us:.0f}"
        rows.append((name, len(calls), f"{us / 1e3:.2f}", f"{us / total_us:.0%}", rate))
    return table(("kernel", "calls", "ms", "share", "GFLOP/s"), rows)


def _timers(
    args: Namespace, peers: tuple[str, ...], scratch: Path, progress: Progress
) -> tuple[Figures, tuple[int, ...], Path, "dict[str, Timer]"]:
    """What is to be timed: ours at its longest sequence length, the peers, then ours at shorter ones, called `_ours` of them."""
    from compiler.build import BuildRequest, build
    from compiler.measure import measure
    from compiler.rounds import ROUNDS

    runs = args.runs and -(-args.runs // ROUNDS)
    timers: dict[str, Timer] = {}
    architecture: Figures
    if Path(args.model).suffix == ".zip":
        if args.fusion != "lp":
            raise UsageError(f"--fusion {args.fusion}: {args.model} is compiled already; give the model that it was made of")
        bundle = read_bundle(Path(args.model))
        _check_made_for(args.device, bundle, args.model)
        architecture, folder = BundledModel(bundle), bundle.folder
        seq_lens = args.seq_len or bundle.seq_lens
        if seq_lens[-1] > bundle.seq_len:
            raise UsageError(f"--seq-len {seq_lens[-1]}: {args.model} takes at most {bundle.seq_len} tokens")
    else:
        from compiler.workers import warm_up

        warm_up()  # beside the loading and exporting here
        from engine.export import export_reference, reference_model

        seq_lens = args.seq_len or (DEFAULT_SEQ_LEN,)
        reference = reference_model(args.model, seq_len=seq_lens[-1])
        architecture = reference.architecture
        progress.log(f"compiling {args.model} ({architecture})")
        exported = export_reference(reference, seq_lens[-1], scratch / "export", seq_lens[:-1])
        request = BuildRequest(
            *exported, args.device, args.precision, seq_lens=seq_lens, fusion=args.fusion, seq_len=seq_lens[-1]
        )
        folder = build(request, scratch / "built", log=progress.log).folder
    timers["pocketformer"] = partial(measure, folder, args.device, args.threads, runs, tokens=seq_lens[-1])
    if peers:
        written = str(architecture) if Path(args.model).suffix == ".zip" else args.model
        timers |= _peer_timers(peers, written, seq_lens[-1], args.threads, runs, scratch, progress)
    for tokens in seq_lens[:-1]:
        timers[_ours(tokens)] = partial(measure, folder, args.device, args.threads, runs, tokens=tokens)
    return architecture, seq_lens, folder, timers


def _profile(folder: Path, args: Namespace, tokens: int) -> list[dict[str, Any]]:
    """Each kernel call of a sentence of `tokens`, in order: name, microseconds, GFLOP/s where its FLOPs are known."""
    from compiler.measure import measure

    plan = json.loads((folder / "plan.json").read_text())
    calls_us = measure(folder, args.device, args.threads, tokens=tokens, profile=True).calls_us
    if calls_us is None or len(calls_us) != len(plan["blocks"]):
        raise MeasureError("this bundle's `bench` does not tell kernels apart; compile it again")
    whole = tokens > max((each["seq_len"] for each in plan["programs"][:-1]), default=0)
    return [
        {"name": block["name"], "us": us, "gflops": block["flops_after"] / us / 1e3 if whole else None}
        for block, us in zip(plan["blocks"], calls_us, strict=True)
    ]


def _keep_profile(result: dict[str, Any], args: Namespace) -> None:
    """For the Compare page. Of an emulated phone there is nothing to keep: its time is no latency."""
    from compiler.profiles import Profile, keep

    if result["latency_source"] == "measured":
        calls = [(each["name"], each["us"]) for each in result["kernels"]]
        facts = (result["architecture"], split_serial(args.device)[0], args.precision, result["seq_len"], result["threads"])
        keep(Profile(*facts, result["latency_ms"]["median"], calls))


def _check_made_for(device: str, bundle: Bundle, path: str) -> None:
    made_for = bundle.model["device"]
    on_android = bundle.model.get("system") == "android"
    if on_android == (device == HOST):
        raise UsageError(f"{path} is compiled for {made_for}; take --device {made_for}, or compile its model for {device}")


def _ours(tokens: int) -> str:
    return f"pocketformer, {tokens} tokens"


def _peer_timers(
    peers: tuple[str, ...], model: str, seq_len: int, threads: int | None, runs: int | None, scratch: Path, progress: Progress
) -> "dict[str, Timer]":
    from compiler.peers import measure_peer, prepare_peer
    from engine.export import export_for_peers, reference_model

    progress.log(f"exporting {model} for {', '.join(peers)}")
    exported = export_for_peers(reference_model(model, seq_len=seq_len), seq_len, peers, scratch / "peers")
    files = {name: prepare_peer(name, exported, scratch / "peers") for name in peers}
    return {name: partial(measure_peer, name, files[name], exported.samples, threads=threads, runs=runs) for name in peers}


def _result(
    args: Namespace, architecture: Figures, seq_lens: tuple[int, ...], rounds: dict[str, list["Latency"]]
) -> dict[str, Any]:
    from compiler.peak import peak_gflops
    from compiler.rounds import middle

    figures = {name: middle(latencies) for name, latencies in rounds.items()}
    ours, seq_len = figures.pop("pocketformer"), seq_lens[-1]
    by_length = [{"seq_len": tokens, **figures.pop(_ours(tokens))} for tokens in seq_lens[:-1]]
    threads = rounds["pocketformer"][0].threads
    peak = peak_gflops(threads) if args.device == HOST else None
    last = rounds["pocketformer"][-1]
    gflops = architecture.flops(seq_len) / 1e6 / ours["median"]
    return {
        "model": args.model,
        "architecture": str(architecture),
        "device": args.device,
        "seq_len": seq_len,
        "threads": threads,
        "latency_ms": ours,
        "latency_by_length": [*by_length, {"seq_len": seq_len, **ours}],
        "latency_source": rounds["pocketformer"][0].source,
        "gflops": gflops,
        "peak_gflops": peak,
        "peak_fraction": gflops / peak if peak else None,
        "cv": max(latency.cv for latency in rounds["pocketformer"]),
        "load_ms": last.load_ms,
        "peak_memory_mb": last.peak_memory_mb,
        "conditions": asdict(last.conditions) if last.conditions else None,
        "peers": {name: {**peer, "ratio": peer["median"] / ours["median"]} for name, peer in figures.items()},
    }


def _cells(figures: dict[str, float]) -> tuple[str, str, str]:
    return f"{figures['median']:.2f}", f"{figures['p10']:.2f}", f"{figures['p90']:.2f}"


def _conditions(phone: dict[str, Any]) -> str:
    cores = ", ".join(map(str, phone["cores"])) or "any"
    change = [
        " to ".join("?" if value is None else f"{value:.0f}" for value in phone[name])
        for name in ("temperature_c", "allowed_mhz")
    ]
    return f"{phone['phone']}; cores {cores}; {change[0]} °C, up to {change[1]} MHz, before and after"
