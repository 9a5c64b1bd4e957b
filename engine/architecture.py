"""What a BERT-family encoder is, as plain numbers: no torch here, so that pages and the command start fast.

Written `L12-H768-A12-F3072`: layers, hidden size, attention heads, FFN size; one FFN size for each layer as `F3072,1536,…`;
`-E384` is added where token embeddings have their own width and a linear layer brings them to the hidden size (ELECTRA,
ALBERT; here a student narrower than its teacher keeps the teacher's embeddings).
"""

import re
from dataclasses import dataclass

from data.errors import ModelError

HEAD_SIZE = 64
DEFAULT_SEQ_LEN = 128
_WRITTEN = re.compile(r"L(\d+)-H(\d+)-A(\d+)-F(\d+(?:,\d+)*)(?:-E(\d+))?")


@dataclass(frozen=True)
class Architecture:
    """A stack of post-LayerNorm transformer encoder layers over learned word, position and segment embeddings.

    Raises:
        ModelError: sizes that no encoder can have.
    """

    hidden_size: int
    heads: int
    ffn_sizes: tuple[int, ...]
    embedding_size: int = 0  # 0: the hidden size, with no projection
    vocab_size: int = 30522
    max_positions: int = 512
    token_types: int = 2

    def __post_init__(self) -> None:
        sizes = (self.hidden_size, self.heads, *self.ffn_sizes, self.vocab_size, self.max_positions)
        if not self.ffn_sizes or min(sizes) < 1:
            raise ModelError(f"architecture {self}: layers and sizes must be at least 1")
        if self.hidden_size % self.heads:
            raise ModelError(f"architecture {self}: hidden size {self.hidden_size} is not a multiple of {self.heads} heads")

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Read the written form. One FFN size stands for all layers."""
        match = _WRITTEN.fullmatch(text.strip())
        if not match:
            raise ModelError(f"'{text}' is not an architecture; write one like L6-H384-A12-F1536 or L2-H256-A4-F1024,512")
        layers, hidden_size, heads = (int(match[i]) for i in (1, 2, 3))
        ffn_sizes = tuple(int(size) for size in match[4].split(","))
        if len(ffn_sizes) == 1:
            ffn_sizes *= layers
        if len(ffn_sizes) != layers:
            raise ModelError(f"'{text}' names {len(ffn_sizes)} FFN sizes for {layers} layers; give one, or one for each layer")
        return cls(hidden_size, heads, ffn_sizes, embedding_size=int(match[5] or 0))

    def __str__(self) -> str:
        sizes = self.ffn_sizes[:1] if len(set(self.ffn_sizes)) == 1 else self.ffn_sizes
        written = f"L{self.layers}-H{self.hidden_size}-A{self.heads}-F{','.join(map(str, sizes))}"
        return written + (f"-E{self.embedding_size}" if self.projected else "")

    @property
    def layers(self) -> int:
        return len(self.ffn_sizes)

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.heads

    @property
    def projected(self) -> bool:
        """Whether embeddings pass through a linear layer to the hidden size."""
        return self.embedding_size not in (0, self.hidden_size)

    def parameters(self) -> int:
        """Weights and biases of embeddings and layers, without a task head."""
        hidden, width = self.hidden_size, self.embedding_size or self.hidden_size
        embeddings = (self.vocab_size + self.max_positions + self.token_types) * width + 2 * width
        projection = (width + 1) * hidden if self.projected else 0
        attention = 4 * (hidden * hidden + hidden) + 2 * hidden
        return embeddings + projection + sum(attention + 2 * hidden * ffn + ffn + hidden + 2 * hidden for ffn in self.ffn_sizes)

    def mult_adds(self, seq_len: int = DEFAULT_SEQ_LEN) -> int:
        """Multiply-accumulates of all matmuls for one sentence of `seq_len` tokens."""
        hidden = self.hidden_size
        projection = seq_len * self.embedding_size * hidden if self.projected else 0
        attention = seq_len * 4 * hidden * hidden + 2 * seq_len * seq_len * hidden
        return projection + sum(attention + seq_len * 2 * hidden * ffn for ffn in self.ffn_sizes)

    def flops(self, seq_len: int = DEFAULT_SEQ_LEN) -> int:
        """2 x multiply-accumulates of matmuls."""
        return 2 * self.mult_adds(seq_len)

    def weight_bytes(self, bytes_per_weight: int = 4) -> int:
        return self.parameters() * bytes_per_weight


PRESETS: dict[str, Architecture] = {
    # name: (hidden size, heads, FFN size of each layer); sources: the models' own papers and published configurations
    "bert-base": Architecture(768, 12, (3072,) * 12),
    "distilbert": Architecture(768, 12, (3072,) * 6),
    "tinybert-4": Architecture(312, 12, (1200,) * 4),
    "tinybert-6": Architecture(768, 12, (3072,) * 6),
    "minilm-l6": Architecture(384, 12, (1536,) * 6),
    # CANAO gives no sizes for CANAOBERT; deep and narrow with heads of 64, as its section 3.2 argues for.
    "canaobert": Architecture(256, 4, (1024,) * 28),
}


def architecture_of(model: str) -> Architecture:
    """The architecture of a preset's name or of a written architecture.

    Raises:
        ModelError: neither; the message lists the presets.
    """
    if model in PRESETS:
        return PRESETS[model]
    if _WRITTEN.fullmatch(model.strip()):
        return Architecture.parse(model)
    raise ModelError(f"unknown model '{model}'; take {', '.join(PRESETS)}, or write an architecture like L6-H384-A12-F1536")
