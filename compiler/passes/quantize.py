"""x W -> quantize(x) Q(W): dense layers on 8-bit integers, for `--precision int8`.

What else there is stays in float32: attention's products of activations, LayerNorm, embeddings, and the few vectors at the end.
Weights are rounded here, and are float32 numbers still, so that the graph's meaning is plain; the schedule gets the integers back.
Several layers that read one tensor share its quantization.
"""

from compiler.graph import Graph, Value, constant
from compiler.precisions import INT8
from compiler.quantization import LARGEST, STEP, rounded


def quantize(graph: Graph, largest_weight: int = LARGEST, zero_point: int = 0) -> Graph:
    """Every `linear` on tokens whose input fills whole words; its bias, residual and LayerNorm are as they were."""
    sources: dict[Value, Value] = {}
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator != "linear" or value.shape[-2:-1] != graph.inputs[0].shape[-1:]:
            continue
        source, weight, *rest = value.inputs
        assert weight.data is not None
        if weight.data.shape[0] % STEP:
            continue
        if source not in sources:
            sources[source] = Value("quantize", (source,), source.shape, source.dtype, laws=("per-token int8",))
        near = constant(rounded(weight.data, axis=0, largest=largest_weight), weight.name)
        rewrites[value] = value.with_inputs((sources[source], near, *rest)).with_attributes(
            precision=INT8, largest_weight=largest_weight, zero_point=zero_point
        )
    return graph.substitute(rewrites)
