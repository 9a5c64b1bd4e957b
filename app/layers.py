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
        sizes = f"{heads} heads of {architecture.head_size}, FFN {ffn_size}"
        flops = 2 * architecture.layer_mult_adds(index, seq_len)
        layers.append(Part(f"Layer {index + 1}", sizes, architecture.layer_parameters(index), flops))
    width = architecture.embedding_size or hidden
    sizes = f"{architecture.vocab_size} tokens x {width}" + (f", projected to {hidden}" if architecture.projected else "")
    flops = 2 * architecture.embedding_mult_adds(seq_len)
    return [Part("Embeddings", sizes, architecture.embedding_parameters(), flops), *layers]
