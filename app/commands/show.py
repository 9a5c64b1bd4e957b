"""`pocketformer show`: what a model is, in numbers."""

from argparse import Namespace

from app.models import check_batch, figures_of
from app.terminal import table
from data.errors import UsageError
from engine.architecture import Architecture

BYTES_PER_WEIGHT = 4  # fp32


def run(args: Namespace) -> dict:
    check_batch(args.batch)
    if args.seq_len < 1:
        raise UsageError(f"--seq-len {args.seq_len}: give at least 1")
    model = figures_of(args.model, args.seq_len)
    parameters, mult_adds = model.parameters(), model.mult_adds(args.seq_len)
    return {
        "model": args.model,
        "architecture": str(model),
        "layers": model.layers,
        **(_sizes(model) if isinstance(model, Architecture) else {}),
        "parameters": parameters,
        "flops": 2 * mult_adds,
        "mult_adds": mult_adds,
        "bytes": parameters * BYTES_PER_WEIGHT,
        "seq_len": args.seq_len,
    }


def render(result: dict) -> str:
    rows = [("architecture", result["architecture"]), ("layers", f"{result['layers']}")]
    if "hidden_size" in result:
        rows.append(("hidden size", f"{result['hidden_size']} in {result['heads']} heads"))
        rows.append(("FFN sizes", ", ".join(map(str, result["ffn_sizes"]))))
    rows += [
        ("parameters", f"{result['parameters'] / 1e6:.1f} M, {result['bytes'] / 1e6:.1f} MB in fp32"),
        (
            "FLOPs",
            f"{result['flops'] / 1e9:.2f} G ({result['mult_adds'] / 1e6:.0f} M Mult-Adds) at sequence length {result['seq_len']}",
        ),
    ]
    return table(("", result["model"]), rows)


def _sizes(architecture: Architecture) -> dict:
    return {
        "hidden_size": architecture.hidden_size,
        "heads": architecture.heads,
        "ffn_sizes": list(architecture.ffn_sizes),
    }
