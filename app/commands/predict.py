"""`pocketformer predict`: latency on a device that is not here, from its catalogue entry and calibration."""

from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.models import figures_of
from app.terminal import table
from compiler.build import check_fusion, work_of_program
from compiler.devices import HOST, check_device
from compiler.work import Work
from data.errors import UsageError
from data.home import subfolder
from engine.architecture import Architecture
from engine.prediction.kernels import derivable
from engine.prediction.machine import GPU
from engine.prediction.measured import read_architectures
from engine.prediction.predict import Prediction, predict
from engine.prediction.published import Published, published_for

PROCESSORS = {"big": "its fast cores", "little": "its slow cores", "all": "all cores", "gpu": "its GPU", "npu": "its NPU"}


def run(args: Namespace) -> dict[str, Any] | list[dict[str, Any]]:
    check_device(args.device)
    check_fusion(args.fusion)
    if args.seq_len < 1:
        raise UsageError(f"--seq-len {args.seq_len}: give at least 1")
    if args.gpu and (args.cluster or args.threads):
        raise UsageError("--gpu has no cluster and no threads; leave them away")
    if Path(args.model).suffix == ".csv":
        rows = read_architectures(Path(args.model))
        return [_result(args, name, model, _predict(args, model, seq_len), seq_len) for name, model, seq_len in rows]
    model = figures_of(args.model, args.seq_len)
    if isinstance(model, Architecture) and derivable(model, args.fusion, args.precision):
        return _result(args, args.model, model, _predict(args, model, args.seq_len), args.seq_len)
    works = _work(args)
    known = model if isinstance(model, Architecture) else None
    return _result(args, args.model, known, _predict(args, works, args.seq_len), args.seq_len)


def render(result: dict[str, Any] | list[dict[str, Any]]) -> str:
    rows = result if isinstance(result, list) else [result]
    header = ("model", "latency ms", "low", "high", "source", "threads", "tokens")
    cells = [
        (
            each["model"],
            round(each["latency_ms"], 2),
            round(each["low"], 2),
            round(each["high"], 2),
            each["source"],
            each["threads"],
            each["seq_len"],
        )
        for each in rows
    ]
    first = rows[0]
    where = PROCESSORS[first["cluster"]]
    lines = [
        f"{first['device']}, {where}, {first['precision']}, fusion {first['fusion']}; low to high is meant to hold 90 %",
        table(header, cells),
        *dict.fromkeys(each["basis"] for each in rows),
        *(_figure(each["model"], figure) for each in rows for figure in each["published"]),
    ]
    return "\n".join(lines)


def _predict(args: Namespace, model: Architecture | list[Work], seq_len: int) -> Prediction:
    return predict(
        model,
        args.device,
        args.threads,
        precision=args.precision,
        fusion=args.fusion,
        seq_len=seq_len,
        target=GPU if args.gpu else args.cluster,
    )


def _work(args: Namespace) -> list[Work]:
    """What the compiler's own graph of a model has, where its sizes alone do not tell."""
    if Path(args.model).suffix == ".onnx":
        return work_of_program(Path(args.model), args.fusion, args.seq_len, args.precision)
    from engine.export import export_reference, reference_model

    with TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        program, _ = export_reference(reference_model(args.model, seq_len=args.seq_len), args.seq_len, Path(scratch))
        return work_of_program(program, args.fusion, args.seq_len, args.precision)


def _result(args: Namespace, name: str, model: Architecture | None, found: Prediction, seq_len: int) -> dict[str, Any]:
    beside = published_for(args.device, model, seq_len) if model and args.device != HOST else []
    return {
        "model": name,
        "architecture": str(model or Path(name).stem),
        "device": args.device,
        "cluster": found.target,
        "threads": found.threads,
        "precision": args.precision,
        "fusion": args.fusion,
        "seq_len": seq_len,
        "latency_ms": found.latency_ms,
        "low": found.low_ms,
        "high": found.high_ms,
        "source": found.source,
        "kernels": found.kernels,
        "basis": found.basis,
        "published": [_published(figure) for figure in beside],
    }


def _published(figure: Published) -> dict[str, Any]:
    return {
        "latency_ms": figure.latency_ms,
        "source": "published",
        "by": figure.source,
        "engine": figure.engine,
        "processor": figure.target,
        "precision": figure.precision,
        "fusion": figure.fusion or None,
        "seq_len": figure.seq_len,
        "sizes_assumed": figure.assumed,
        "note": figure.note,
    }


def _figure(model: str, figure: dict[str, Any]) -> str:
    fusion = {"lp": ", fused", "none": ", not fused"}.get(figure["fusion"], "")
    note = f"; {figure['note']}" if figure["note"] else ""
    return (
        f"published: {model} {figure['latency_ms']:g} ms with {figure['engine']} on {PROCESSORS[figure['processor']]} "
        f"in {figure['precision']}{fusion} ({figure['by']}{note})"
    )
