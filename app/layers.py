"""An architecture taken apart, layer by layer, for the details of a trial. Pure, and light to import."""

from dataclasses import dataclass

from engine.architecture import DEFAULT_SEQ_LEN, Architecture


@dataclass(frozen=True)
class Part:
    """One part of an encoder: its sizes in words, its parameters, and its FLOPs (2 x multiply-accumulates of matmuls)."""

    name: str
    sizes: str
    parameters: int
    flops: int


def parts(architecture: Architecture, seq_len: int = DEFAULT_SEQ_LEN) -> list[Part]:
    """The embeddings and each layer, in order; parameters and FLOPs add up to those of the whole."""
    hidden, heads = architecture.hidden_size, architecture.heads
    layers = []
    for index, ffn_size in enumerate(architecture.ffn_sizes):
        alone = Architecture(hidden, heads, (ffn_size,), hidden, 1, 1, 1)
        sizes = f"{heads} heads of {architecture.head_size}, FFN {ffn_size}"
        bare = (1 + 1 + 1) * hidden + 2 * hidden  # the embeddings that `alone` counts
        layers.append(Part(f"Layer {index + 1}", sizes, alone.parameters() - bare, alone.flops(seq_len)))
    width = architecture.embedding_size or hidden
    sizes = f"{architecture.vocab_size} tokens x {width}" + (f", projected to {hidden}" if architecture.projected else "")
    embeddings = Part(
        "Embeddings",
        sizes,
        architecture.parameters() - sum(layer.parameters for layer in layers),
        architecture.flops(seq_len) - sum(layer.flops for layer in layers),
    )
    return [embeddings, *layers]
