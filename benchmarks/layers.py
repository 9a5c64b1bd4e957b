"""CANAO's Table 1 beside ours: layers of computation and intermediate results before fusion, and what fusion leaves.

    python -m benchmarks.layers --json layers.json
    python -m benchmarks.layers --models bert-base,distilbert

Nothing is compiled or timed: programs are imported and rewritten, with exact counts. Under the table stands where each difference from
the paper comes from; a preset that this version does not have is said to be absent.
"""

import argparse
import csv
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.terminal import Progress, table
from compiler.build import report_fusion
from data.errors import ModelError, UsageError, exit_status_of
from data.home import subfolder
from engine.architecture import DEFAULT_SEQ_LEN, Architecture, architecture_of

TABLE_1 = Path(__file__).parent / "canao_table1.csv"
# Nodes that a block has in an ONNX file of the paper's time, by kind: operators, computation of its reshapes' targets (Shape, Gather,
# Unsqueeze, Concat), constants. Counted in exports by torch's TorchScript-based exporter, opset 11, batch and sequence axes
# dynamic, of blocks written as `transformers` wrote them in 2020. The paper's own Table 2 has the sum for BERT: 1172 layers with
# 12 blocks, 702 with 7 and 608 with 6 are 94 a block and 44 around them.
ONNX_BLOCKS = {"distilbert": (53, 16, 11), "mobilebert": (69, 28, 9)}
ONNX_BERT_BLOCK = (50, 28, 16)
OWN_CODE = {"distilbert": "; its mask is spread over the scores by Reshape, Expand, Cast and Where, where others add it"}
PAPER_NAMES = {"tinybert-4": "TinyBERT", "distilbert": "DistilBERT", "bert-base": "BERT-base", "mobilebert": "MobileBERT"}


@dataclass(frozen=True)
class Row:
    """One model's counts, the paper's and ours.

    Attributes:
        paper_ir_mb, ir_mb: intermediate results before fusion, 10^6 bytes.
        kernels, ir_mb_after: what LP-Fusion leaves; CANAO does not report these.
        why: where each difference comes from.
    """

    model: str
    architecture: str
    paper_compute_intensive: int
    compute_intensive: int
    paper_memory_intensive: int
    memory_intensive: int
    paper_total: int
    total: int
    paper_ir_mb: float
    ir_mb: float
    kernels: int
    ir_mb_after: float
    why: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(PAPER_NAMES), metavar="NAMES", help="of the paper's Table 1")
    parser.add_argument("--seq-len", type=int, default=DEFAULT_SEQ_LEN, metavar="TOKENS", help="the paper's is 128")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args()
    sys.exit(exit_status_of("layers", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: a model that is not in the paper's table.
    """
    models = [name for name in options.models.split(",") if name]
    unknown = [name for name in models if name not in PAPER_NAMES]
    if unknown:
        raise UsageError(f"'{unknown[0]}' is not in CANAO's Table 1; take {', '.join(PAPER_NAMES)}")
    progress = Progress()
    rows, absent = [], []
    for name in models:
        try:
            architecture = architecture_of(name)
        except ModelError:
            absent.append(name)
            continue
        progress.log(f"counting {name} ({architecture})")
        rows.append(row_of(name, architecture, count(name, options.seq_len)))
    print(render(rows, absent))
    if options.json:
        options.json.write_text(json.dumps({"rows": [asdict(row) for row in rows], "absent": absent}, indent=2) + "\n")


def count(model: str, seq_len: int) -> dict[str, Any]:
    """`compiler.build.report_fusion` of a preset."""
    from engine.export import export_reference, reference_model

    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        program, _ = export_reference(reference_model(model), seq_len, Path(scratch))
        return report_fusion(program)


def row_of(model: str, architecture: Architecture, report: dict[str, Any]) -> Row:
    paper = paper_row(PAPER_NAMES[model])
    layers = report["layers_before"]
    row = Row(
        model=model,
        architecture=str(architecture),
        paper_compute_intensive=int(paper["compute_intensive_layers"]),
        compute_intensive=layers["compute_intensive"],
        paper_memory_intensive=int(paper["memory_intensive_layers"]),
        memory_intensive=layers["memory_intensive"],
        paper_total=int(paper["total_layers"]),
        total=layers["total"],
        paper_ir_mb=float(paper["intermediate_mb"]),
        ir_mb=report["ir_mb_before"],
        kernels=report["kernels_after"],
        ir_mb_after=report["ir_mb_after"],
        why=(),
    )
    return Row(**{**asdict(row), "why": tuple(explain(row, architecture.layers, report))})


def paper_row(name: str) -> dict[str, str]:
    with TABLE_1.open(newline="") as file:
        return next(row for row in csv.DictReader(file) if row["model"] == name)


def explain(row: Row, layers: int, report: dict[str, Any]) -> list[str]:
    """Each difference from the paper's counts, in words."""
    return [
        _compute_intensive(row, layers, report["operators_before"]),
        _memory_intensive(row, layers, layers_of_a_block(report)),
        _intermediate(row, layers),
    ]


def layers_of_a_block(report: dict[str, Any]) -> int:
    """Layers of computation of one transformer block, without the mask that all share.

    Cost: linear in the number of blocks. A report of one transformer block cannot tell the mask from the rest: it counts with it.
    """
    numbered = [block for block in report["blocks"] if block["name"].startswith("layer")]
    blocks = len({block["name"].partition(".")[0] for block in numbered})
    computed = sum(len(block["members"]) for block in report["blocks"])
    again = computed - (report["layers_before"]["total"] - report["layers_cancelled"])  # the mask, in all blocks but the first
    return sum(len(block["members"]) for block in numbered) // blocks - again // max(blocks - 1, 1)


def _compute_intensive(row: Row, layers: int, operators: dict[str, int]) -> str:
    """Counting softmax as compute-intensive (each input is used in the sum and in a quotient) gives the paper's four counts."""
    each, around = divmod(row.paper_compute_intensive, layers)
    ours = row.compute_intensive - layers * each
    counted = f"{operators.get('matmul', 0)} matmuls and {operators.get('nn.softmax', 0)} softmaxes"
    same = "as the paper" if row.compute_intensive == row.paper_compute_intensive else f"paper {row.paper_compute_intensive}"
    return (
        f"compute-intensive {row.compute_intensive} ({same}): {counted}; {each} in each of {layers} layers, and {ours} around them, "
        f"mean pooling's matmul among them, where the paper's {around} {'is' if around == 1 else 'are'} a pooler's or a head's dense"
    )


def _memory_intensive(row: Row, layers: int, ours: int) -> str:
    operators, targets, constants = ONNX_BLOCKS.get(row.model, ONNX_BERT_BLOCK)
    each = operators + targets + constants
    own = OWN_CODE.get(row.model, "; here the keys are transposed twice, for the heads and for the product")
    return (
        f"memory-intensive {row.memory_intensive} (paper {row.paper_memory_intensive}): a block has {each} layers there, {ours} here. An ONNX "
        f"file of its time has {operators} operators in a block{own}, {targets} that compute the targets of its reshapes, and "
        f"{constants} constants as nodes; ours is imported for one length. Around the blocks: {row.paper_total - layers * each} there, "
        f"{row.total - layers * ours} here, whose pooling and embeddings differ"
    )


def _intermediate(row: Row, layers: int) -> str:
    text = (
        f"intermediate results {row.ir_mb:.0f} MB (paper {row.paper_ir_mb:.0f}, {row.paper_ir_mb / row.ir_mb:.1f} times ours)"
    )
    if row.model == "bert-base":
        return f"{text}: ours has each tensor once, as it is written; the paper's is about that written and read again"
    bert_mb = float(paper_row(PAPER_NAMES["bert-base"])["intermediate_mb"]) / architecture_of("bert-base").layers
    each_mb = row.paper_ir_mb / layers
    if each_mb > bert_mb:
        return (
            f"{text}: the paper has {each_mb:.0f} MB a layer here and {bert_mb:.0f} in BERT-base, whose layers are no smaller, "
            "so its two rows cannot be of one setting"
        )
    return f"{text}: the paper does not say how it counts; {each_mb:.0f} MB a layer, {bert_mb:.0f} in BERT-base"


def render(rows: list[Row], absent: list[str]) -> str:
    header = ("model", "compute", "paper", "memory", "paper", "total", "paper", "IR MB", "paper", "kernels", "IR MB after")
    cells = [
        (
            row.model,
            row.compute_intensive,
            row.paper_compute_intensive,
            row.memory_intensive,
            row.paper_memory_intensive,
            row.total,
            row.paper_total,
            round(row.ir_mb, 1),
            round(row.paper_ir_mb),
            row.kernels,
            round(row.ir_mb_after, 1),
        )
        for row in rows
    ]
    reasons = [f"\n{row.model} ({row.architecture})\n" + "\n".join(f"  {reason}" for reason in row.why) for row in rows]
    reasons += [f"\n{name}: no such preset in this version" for name in absent]
    return "\n".join([table(header, cells), *reasons])


if __name__ == "__main__":
    main()
