"""LP-Fusion (CANAO section 3.4): the pipelines of passes that turn an imported program into blocks, one kernel each.

Without fusion, every layer of computation of the cleaned program is a kernel. What a layer is follows CANAO's Table 1, where
composite operators are written out: a LayerNorm is nine, a GELU five, attention two matmuls with scale, mask and softmax
between them, and the score matrix goes to memory and back. Constants are folded and the mask is tabulated in both, as any
runtime does; reshapes are views, so they cost nothing.
"""

from compiler.graph import Graph, Pass
from compiler.passes.attention_mask import attention_mask
from compiler.passes.cancel_reshapes import cancel_reshapes
from compiler.passes.distribute_qkv import distribute_qkv
from compiler.passes.distribute_sum import distribute_sum
from compiler.passes.embedding import embedding
from compiler.passes.fold_affine import fold_affine
from compiler.passes.fold_constants import fold_constants
from compiler.passes.gather import gather
from compiler.passes.gelu_epilogue import gelu_epilogue
from compiler.passes.layer_norm_epilogue import layer_norm_epilogue
from compiler.passes.linear import linear
from compiler.passes.readout import readout
from compiler.passes.record_members import record_members
from compiler.passes.residual_epilogue import residual_epilogue
from compiler.passes.separate_matmul import separate_matmul
from compiler.passes.separate_vectors import separate_vectors
from compiler.passes.token_sums import token_sums
from compiler.passes.token_tables import token_tables
from compiler.passes.transpose import transpose
from compiler.passes.write_out import write_out

CLEAN: tuple[Pass, ...] = (record_members, fold_constants, token_tables, cancel_reshapes)
# Operators that have a kernel of their own where no block took them in.
LEFT_OVER: tuple[Pass, ...] = (gather, transpose)
PIPELINES: dict[str, tuple[Pass, ...]] = {
    "lp": (
        *CLEAN,
        # laws that leave less to compute
        distribute_sum,
        # anchors: what blocks are built around
        linear,
        fold_affine,
        embedding,
        distribute_qkv,
        attention_mask,
        # epilogues, in the order in which a layer applies them
        gelu_epilogue,
        residual_epilogue,
        layer_norm_epilogue,
        # the end of the program
        token_sums,
        readout,
        *LEFT_OVER,
    ),
    "none": (write_out, *CLEAN, separate_matmul, token_sums, separate_vectors, *LEFT_OVER),
}


def fuse_layers(graph: Graph, fusion: str = "lp") -> Graph:
    """The whole pipeline of a key of `PIPELINES`."""
    for run in PIPELINES[fusion]:
        graph = run(graph)
    return graph
