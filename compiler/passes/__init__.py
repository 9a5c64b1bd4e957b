"""LP-Fusion (CANAO section 3.4): the pipeline of passes that turns an imported program into blocks, one kernel each."""

from compiler.graph import Graph, Pass
from compiler.passes.activation_epilogue import activation_epilogue
from compiler.passes.affine import affine
from compiler.passes.attention_mask import attention_mask
from compiler.passes.batch_axis import batch_axis
from compiler.passes.cancel_reshapes import cancel_reshapes
from compiler.passes.compose_projections import compose_projections
from compiler.passes.distribute_qkv import distribute_qkv
from compiler.passes.embedding import embedding
from compiler.passes.embedding_sum import embedding_sum
from compiler.passes.fold_constants import fold_constants
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
from compiler.passes.residual_epilogue import residual_epilogue
from compiler.passes.token_sums import token_sums
from compiler.passes.token_tables import token_tables
from compiler.passes.trigram_embedding import trigram_embedding

PIPELINE: tuple[Pass, ...] = (
    # clean the graph
    fold_constants,
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
    # anchors: what blocks are built around
    embedding,
    trigram_embedding,
    linear,
    affine,
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
)


def fuse_layers(graph: Graph) -> Graph:
    """The whole pipeline."""
    for run in PIPELINE:
        graph = run(graph)
    return graph
