"""LP-Fusion (CANAO section 3.4): the pipelines of passes that turn an imported program into blocks, one kernel each.

Without fusion, every layer of computation of the cleaned program is a kernel. What a layer is follows CANAO's Table 1, where
composite operators are written out: a LayerNorm is nine, a GELU five, attention two matmuls with scale, mask and softmax
between them, and the score matrix goes to memory and back. Constants are folded and the mask is tabulated in both, as any
runtime does; reshapes are views, so they cost nothing.
"""

from compiler.graph import Graph, Pass
from compiler.passes.activation_epilogue import activation_epilogue
from compiler.passes.affine import affine
from compiler.passes.attention_mask import attention_mask
from compiler.passes.batch_axis import batch_axis
from compiler.passes.cancel_reshapes import cancel_reshapes
from compiler.passes.channels_last import channels_last
from compiler.passes.compose_projections import compose_projections
from compiler.passes.distribute_qkv import distribute_qkv
from compiler.passes.distribute_sum import distribute_sum
from compiler.passes.embedding import embedding
from compiler.passes.embedding_sum import embedding_sum
from compiler.passes.fold_affine import fold_affine
from compiler.passes.fold_constants import fold_constants
from compiler.passes.gather import gather
from compiler.passes.late_broadcasts import late_broadcasts
from compiler.passes.layer_norm_epilogue import layer_norm_epilogue
from compiler.passes.linear import linear
from compiler.passes.move_transposes import move_transposes
from compiler.passes.one_hot import one_hot
from compiler.passes.pointwise_convolution import pointwise_convolution
from compiler.passes.readout import readout
from compiler.passes.recognise_activation import recognise_activation
from compiler.passes.recognise_attention import recognise_attention
from compiler.passes.recognise_layer_norm import recognise_layer_norm
from compiler.passes.record_members import record_members
from compiler.passes.residual_epilogue import residual_epilogue
from compiler.passes.separate_matmul import separate_matmul
from compiler.passes.separate_vectors import separate_vectors
from compiler.passes.token_sums import token_sums
from compiler.passes.token_tables import token_tables
from compiler.passes.transpose import transpose
from compiler.passes.trigram_embedding import trigram_embedding
from compiler.passes.write_out import write_out

CLEAN: tuple[Pass, ...] = (record_members, fold_constants, token_tables, cancel_reshapes)
# Operators that have a kernel of their own where no block took them in.
LEFT_OVER: tuple[Pass, ...] = (gather, transpose)
PIPELINES: dict[str, tuple[Pass, ...]] = {
    "lp": (
        record_members,
        fold_constants,
        # what exporters spell out, and the detours that they make
        recognise_activation,
        recognise_layer_norm,
        recognise_attention,
        late_broadcasts,
        token_tables,
        one_hot,
        cancel_reshapes,
        batch_axis,
        pointwise_convolution,
        move_transposes,
        cancel_reshapes,
        # laws that leave less to compute
        distribute_sum,
        # anchors: what blocks are built around
        trigram_embedding,
        linear,
        affine,
        fold_affine,
        embedding,
        embedding_sum,
        compose_projections,
        distribute_qkv,
        attention_mask,
        # epilogues, in the order in which a layer applies them
        activation_epilogue,
        residual_epilogue,
        affine,
        layer_norm_epilogue,
        # the end of the program
        token_sums,
        readout,
        *LEFT_OVER,
    ),
    "none": (write_out, *CLEAN, trigram_embedding, channels_last, separate_matmul, token_sums, separate_vectors, *LEFT_OVER),
}


def fuse_layers(graph: Graph, fusion: str = "lp") -> Graph:
    """The whole pipeline of a key of `PIPELINES`."""
    for run in PIPELINES[fusion]:
        graph = run(graph)
    return graph
