"""LP-Fusion (CANAO section 3.4): the pipeline of passes that turns an imported program into blocks, one kernel each."""

from compiler.graph import Graph, Pass
from compiler.passes.attention_mask import attention_mask
from compiler.passes.cancel_reshapes import cancel_reshapes
from compiler.passes.distribute_qkv import distribute_qkv
from compiler.passes.embedding import embedding
from compiler.passes.fold_constants import fold_constants
from compiler.passes.gelu_epilogue import gelu_epilogue
from compiler.passes.layer_norm_epilogue import layer_norm_epilogue
from compiler.passes.linear import linear
from compiler.passes.readout import readout
from compiler.passes.residual_epilogue import residual_epilogue
from compiler.passes.token_sums import token_sums
from compiler.passes.token_tables import token_tables

PIPELINE: tuple[Pass, ...] = (
    # clean the graph
    fold_constants,
    token_tables,
    cancel_reshapes,
    # anchors: what blocks are built around
    embedding,
    linear,
    distribute_qkv,
    attention_mask,
    # epilogues, in the order in which a layer applies them
    gelu_epilogue,
    residual_epilogue,
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
