"""Other runtimes on the same model, by the same protocol, each in a process of its own: spinning threads disturb each other.

A runtime is a module of this package with two functions, which run in that process (`compiler.peers.worker`):
`convert(program, samples, out)` writes the file that the runtime reads, unless it reads what was exported, and
`load(file, threads)` returns what answers tokens.
"""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from compiler.isa import cores
from compiler.measure import Latency, latency_of, run_timed, steadiest
from compiler.process import module_command
from compiler.quiet import ShouldStop, busy, never
from data.errors import UsageError

REQUIREMENTS = "benchmarks/requirements.txt"
INPUTS = ("input_ids", "token_type_ids", "attention_mask")
TIMEOUT_S = 900  # torch.compile takes minutes on deep models

Tokens = dict[str, np.ndarray]  # the three inputs, int64 (1, S)
Answer = Callable[[Tokens], np.ndarray]  # -> float32 (1, N)


@dataclass(frozen=True)
class Peer:
    """Another runtime.

    Attributes:
        module: of this package.
        reads: the form of a model that it takes.
        packages: what it imports, and the package that brings it.
        file: name of what the form has to be converted into first; none where it is read as it is.
        program: that must be on the PATH.
        precision: that it computes in.
    """

    module: str
    reads: Literal["onnx", "program"]
    packages: tuple[tuple[str, str], ...]
    file: str = ""
    program: str = ""
    precision: str = "fp32"


PEERS: dict[str, Peer] = {
    "onnxruntime": Peer("onnx_runtime", "onnx", (("onnxruntime", "onnxruntime"),)),
    "openvino": Peer("open_vino", "onnx", (("openvino", "openvino"),)),
    "litert": Peer(
        "lite_rt", "program", (("ai_edge_litert", "ai-edge-litert"), ("litert_torch", "litert-torch")), file="model.tflite"
    ),
    "torch": Peer("torch_compile", "program", (("torch", "torch"),), program=os.environ.get("CXX", "g++")),
    "torch-eager": Peer("torch_eager", "program", (("torch", "torch"),)),
    "executorch": Peer("execu_torch", "program", (("executorch", "executorch"),), file="model.pte"),
    "onnxruntime-int8": Peer(
        "onnx_runtime_int8", "onnx", (("onnxruntime", "onnxruntime"),), file="model.dynamic.onnx", precision="int8"
    ),
    "openvino-int8": Peer(
        "open_vino_int8",
        "onnx",
        (("openvino", "openvino"), ("onnxruntime", "onnxruntime")),
        file="model.static.onnx",
        precision="int8",
    ),
}


@dataclass(frozen=True)
class Exported:
    """One model in the forms that runtimes take, batch 1, one sequence length.

    Attributes:
        samples: an .npz with input_ids, token_type_ids, attention_mask, int64 (n, S), and `expected`, float32 (n, N): torch's answers.
        program: a `torch.export` .pt2.
        onnx: an ONNX file.
    """

    samples: Path
    program: Path | None = None
    onnx: Path | None = None


def check_peers(names: Sequence[str]) -> None:
    """
    Raises:
        UsageError: a runtime that is not known, or not installed; the message says what to take, or to install.
    """
    for name in names:
        if name not in PEERS:
            raise UsageError(f"unknown runtime '{name}'; take {', '.join(PEERS)}")
        lacking = _lacking(PEERS[name])
        if lacking:
            raise UsageError(f"runtime '{name}' needs {lacking}, which is not installed; see {REQUIREMENTS}")


def installed_peers(precision: str = "fp32") -> tuple[str, ...]:
    return tuple(name for name, peer in PEERS.items() if peer.precision == precision and not _lacking(peer))


def prepare_peer(name: str, model: Exported, folder: Path, should_stop: ShouldStop = never) -> Path:
    """The file that a runtime reads, made in `folder` where it has to be converted: up to a few minutes.

    Raises:
        UsageError: unknown or missing peer, or one that cannot read the form the model has.
        MeasureError: it cannot be converted; the message has the converter's last words.
        Cancelled: `should_stop()` turned true.
    """
    check_peers((name,))
    peer = PEERS[name]
    source = model.onnx if peer.reads == "onnx" else model.program
    if source is None:
        raise UsageError(
            f"runtime '{name}' reads {'an ONNX file' if peer.reads == 'onnx' else 'a torch program'}; leave it out"
        )
    if not peer.file:
        return source
    out = folder / peer.file
    command = module_command("compiler.peers.worker", "convert", name, str(source), str(model.samples), str(out))
    with busy():
        run_timed(command, should_stop, TIMEOUT_S, name)
    return out


def measure_peer(
    name: str,
    file: Path,
    samples: Path,
    *,
    threads: int | None = None,
    runs: int | None = None,
    warmup: int = 3,
    flops: int | None = None,
    should_stop: ShouldStop = never,
) -> Latency:
    """Latency of what `prepare_peer` returned. Its answer on one sentence of `samples` is compared with torch's first.

    Args:
        threads: None takes the physical cores that this process may use.
        runs: None takes as many as two seconds do, and at least 100.

    Raises:
        UsageError: unknown or missing peer.
        MeasureError: it cannot run the file, answers otherwise than torch, takes more cores than it has threads, or stays unstable.
        Cancelled: `should_stop()` turned true.
    """
    check_peers((name,))
    sizes = {"--threads": threads or cores(), "--runs": runs or 0, "--warmup": warmup}
    options = [str(word) for pair in sizes.items() for word in pair]
    command = module_command("compiler.peers.worker", "time", name, str(file.resolve()), str(samples.resolve()), *options)
    return steadiest(lambda: latency_of(json.loads(run_timed(command, should_stop, TIMEOUT_S, name)), flops), should_stop)


def _lacking(peer: Peer) -> str:
    """The first package or program that is missing; empty when none is."""
    for imported, package in peer.packages:
        if importlib.util.find_spec(imported) is None:
            return f"the package {package}"
    return f"the program {peer.program}" if peer.program and shutil.which(peer.program) is None else ""
