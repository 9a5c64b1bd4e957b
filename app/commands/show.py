"""`pocketformer show`: what a model is, in numbers."""

from argparse import Namespace

from app.terminal import table
from engine.architecture import architecture_of


def run(args: Namespace) -> dict:
    architecture = architecture_of(args.model)
    return {
        "model": args.model,
        "architecture": str(architecture),
        "layers": architecture.layers,
        "hidden_size": architecture.hidden_size,
        "heads": architecture.heads,
        "ffn_sizes": list(architecture.ffn_sizes),
        "parameters": architecture.parameters(),
        "flops": architecture.flops(args.seq_len),
        "mult_adds": architecture.mult_adds(args.seq_len),
        "bytes": architecture.weight_bytes(),
        "seq_len": args.seq_len,
    }


def render(result: dict) -> str:
    rows = [
        ("architecture", result["architecture"]),
        ("layers", f"{result['layers']}"),
        ("hidden size", f"{result['hidden_size']} in {result['heads']} heads"),
        ("FFN sizes", ", ".join(map(str, result["ffn_sizes"]))),
        ("parameters", f"{result['parameters'] / 1e6:.1f} M, {result['bytes'] / 1e6:.1f} MB in fp32"),
        (
            "FLOPs",
            f"{result['flops'] / 1e9:.2f} G ({result['mult_adds'] / 1e6:.0f} M Mult-Adds) at sequence length {result['seq_len']}",
        ),
    ]
    return table(("", result["model"]), rows)
