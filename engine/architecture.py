"""What a BERT-family encoder is, as plain numbers: no torch here, so that pages and the command start fast.

Written `L12-H768-A12-F3072`: layers, hidden size, attention heads, FFN size; one FFN size for each layer as `F3072,1536,…`;
`-E384` is added where token embeddings have their own width and a linear layer brings them to the hidden size (ELECTRA,
ALBERT; here a student narrower than its teacher keeps the teacher's embeddings). Kinds whose layers are built otherwise are
named first: `ALBERT-L12-…`, `SqueezeBERT-L12-…`, `MobileBERT-L24-…-B128`, where B is the width inside a layer.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from data.errors import ModelError

HEAD_SIZE = 64
DEFAULT_SEQ_LEN = 128
_WRITTEN = re.compile(r"(?:([A-Za-z]+)-)?L(\d+)-H(\d+)-A(\d+)-F(\d+(?:,\d+)*)(?:-E(\d+))?(?:-B(\d+))?")


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

    kind: ClassVar[str] = ""  # what the written form starts with

    def __post_init__(self) -> None:
        sizes = (self.hidden_size, self.heads, *self.ffn_sizes, self.vocab_size, self.max_positions)
        if not self.ffn_sizes or min(sizes) < 1:
            raise ModelError(f"architecture {self}: layers and sizes must be at least 1")
        if self.hidden_size % self.heads:
            raise ModelError(f"architecture {self}: hidden size {self.hidden_size} is not a multiple of {self.heads} heads")

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Read the written form, of whatever kind. One FFN size stands for all layers."""
        match = _WRITTEN.fullmatch(text.strip())
        kind = KINDS.get(match[1] or "") if match else None
        if not match or kind is None or (match[7] and kind is not MobileBert):
            raise ModelError(f"'{text}' is not an architecture; write one like L6-H384-A12-F1536 or L2-H256-A4-F1024,512")
        layers, hidden_size, heads = (int(match[i]) for i in (2, 3, 4))
        ffn_sizes = tuple(int(size) for size in match[5].split(","))
        if len(ffn_sizes) == 1:
            ffn_sizes *= layers
        if len(ffn_sizes) != layers:
            raise ModelError(f"'{text}' names {len(ffn_sizes)} FFN sizes for {layers} layers; give one, or one for each layer")
        own = {"bottleneck_size": int(match[7])} if match[7] else {}
        return kind(hidden_size, heads, ffn_sizes, embedding_size=int(match[6] or 0), **own)

    def __str__(self) -> str:
        sizes = self.ffn_sizes[:1] if len(set(self.ffn_sizes)) == 1 else self.ffn_sizes
        written = f"{self.kind}-" if self.kind else ""
        written += f"L{self.layers}-H{self.hidden_size}-A{self.heads}-F{','.join(map(str, sizes))}"
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
        """Weights and biases of embeddings and layers, without a pooler or a task's head."""
        return self.embedding_parameters() + sum(self.layer_parameters(index) for index in range(self.layers))

    def embedding_parameters(self) -> int:
        hidden, width = self.hidden_size, self.embedding_size or self.hidden_size
        embeddings = (self.vocab_size + self.max_positions + self.token_types) * width + 2 * width
        return embeddings + ((width + 1) * hidden if self.projected else 0)

    def layer_parameters(self, index: int) -> int:
        """Of the layer with that number, from 0; those it shares with an earlier one are not counted again."""
        hidden, ffn = self.hidden_size, self.ffn_sizes[index]
        return 4 * (hidden * hidden + hidden) + 2 * hidden + 2 * hidden * ffn + ffn + hidden + 2 * hidden

    def mult_adds(self, seq_len: int = DEFAULT_SEQ_LEN) -> int:
        """Multiply-accumulates of all matmuls for one sentence of `seq_len` tokens."""
        return self.embedding_mult_adds(seq_len) + sum(self.layer_mult_adds(index, seq_len) for index in range(self.layers))

    def embedding_mult_adds(self, seq_len: int) -> int:
        return seq_len * self.embedding_size * self.hidden_size if self.projected else 0

    def layer_mult_adds(self, index: int, seq_len: int) -> int:
        hidden = self.hidden_size
        return seq_len * (4 * hidden * hidden + 2 * hidden * self.ffn_sizes[index]) + 2 * seq_len * seq_len * hidden

    def flops(self, seq_len: int = DEFAULT_SEQ_LEN) -> int:
        """2 x multiply-accumulates of matmuls."""
        return 2 * self.mult_adds(seq_len)

    def weight_bytes(self, bytes_per_weight: int = 4) -> int:
        return self.parameters() * bytes_per_weight


class Albert(Architecture):
    """One layer's weights serve all layers (Lan et al. 2020, section 3.1)."""

    kind = "ALBERT"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.ffn_sizes)) > 1:
            raise ModelError(f"architecture {self}: layers that share their weights have one FFN size")

    def layer_parameters(self, index: int) -> int:
        return super().layer_parameters(index) if index == 0 else 0


class SqueezeBert(Architecture):
    """All projections but that of the attention's output are convolutions in groups (Iandola et al. 2020, table 2)."""

    kind = "SqueezeBERT"
    groups: ClassVar[int] = 4

    def layer_parameters(self, index: int) -> int:
        return super().layer_parameters(index) - self._saved(index)

    def layer_mult_adds(self, index: int, seq_len: int) -> int:
        return super().layer_mult_adds(index, seq_len) - seq_len * self._saved(index)

    def _saved(self, index: int) -> int:
        """Weights that a layer does without: all but one group's share of queries, keys, values and the FFN."""
        weights = 3 * self.hidden_size**2 + 2 * self.hidden_size * self.ffn_sizes[index]
        return weights - weights // self.groups


@dataclass(frozen=True)
class MobileBert(Architecture):
    """Narrow layers between wide ends, four FFNs each, an affine in LayerNorm's place, embeddings of three tokens side by side
    (Sun et al. 2020, sections 3.1 to 3.3). Heads share the narrow width."""

    bottleneck_size: int = 128

    kind = "MobileBERT"
    ffns: ClassVar[int] = 4
    tokens_a_row: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.embedding_size or self.bottleneck_size % self.heads:
            raise ModelError(f"architecture {self}: give an embedding size -E, and a width -B that is a multiple of the heads")

    def __str__(self) -> str:
        return f"{super().__str__()}-B{self.bottleneck_size}"

    @property
    def head_size(self) -> int:
        return self.bottleneck_size // self.heads

    @property
    def projected(self) -> bool:
        return True

    def embedding_parameters(self) -> int:
        hidden, width = self.hidden_size, self.embedding_size
        tables = self.vocab_size * width + (self.max_positions + self.token_types) * hidden
        return tables + (self.tokens_a_row * width + 1) * hidden + 2 * hidden

    def layer_parameters(self, index: int) -> int:
        hidden, narrow, ffn = self.hidden_size, self.bottleneck_size, self.ffn_sizes[index]
        bottlenecks = 2 * (hidden * narrow + 3 * narrow) + narrow * hidden + 3 * hidden
        attention = 3 * (narrow * narrow + narrow) + hidden * narrow + narrow + 2 * narrow
        return bottlenecks + attention + self.ffns * (2 * narrow * ffn + ffn + 3 * narrow)

    def embedding_mult_adds(self, seq_len: int) -> int:
        return seq_len * self.tokens_a_row * self.embedding_size * self.hidden_size

    def layer_mult_adds(self, index: int, seq_len: int) -> int:
        hidden, narrow, ffn = self.hidden_size, self.bottleneck_size, self.ffn_sizes[index]
        weights = 4 * hidden * narrow + 3 * narrow * narrow + self.ffns * 2 * narrow * ffn
        return seq_len * weights + 2 * seq_len * seq_len * narrow


KINDS: dict[str, type[Architecture]] = {kind.kind: kind for kind in (Architecture, Albert, SqueezeBert, MobileBert)}

PRESETS: dict[str, Architecture] = {
    # name: (hidden size, heads, FFN size of each layer); sources: the models' own papers and published configurations
    "bert-base": Architecture(768, 12, (3072,) * 12),
    "distilbert": Architecture(768, 12, (3072,) * 6, token_types=0),
    "mobilebert": MobileBert(512, 4, (512,) * 24, embedding_size=128),
    "tinybert-4": Architecture(312, 12, (1200,) * 4),
    "tinybert-6": Architecture(768, 12, (3072,) * 6),
    "minilm-l6": Architecture(384, 12, (1536,) * 6),
    "albert-base": Albert(768, 12, (3072,) * 12, embedding_size=128, vocab_size=30000),
    "squeezebert": SqueezeBert(768, 12, (3072,) * 12),
    "electra-small": Architecture(256, 4, (1024,) * 12, embedding_size=128),
    # CANAO gives no sizes for CANAOBERT: those of the deep and narrow model, L-24_H-256_A-4, that its Table 2 has and section 3.2 argues for
    "canaobert": Architecture(256, 4, (1024,) * 24),
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
    raise ModelError(
        f"unknown model '{model}'; take {', '.join(PRESETS)}, an architecture like L6-H384-A12-F1536, a folder or an .onnx file"
    )
