"""The encoder that is searched, distilled, trained and compiled: BERT's layers with an FFN size of their own each.

Parameters carry Hugging Face's BERT names, so that a teacher's checkpoint loads as it is; `embeddings_project` is ELECTRA's.
Shapes: B sentences (or pairs), S tokens, H hidden size, A heads of width D, F FFN size, N outputs.
"""

from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.architecture import Architecture

LAYER_NORM_EPS = 1e-12
MASKED_SCORE = -1e4  # BERT's own: exp() of it is zero in every precision, and fp16 can hold it
INITIALIZER_RANGE = 0.02

Pooling = Literal["mean", "cls", "pair"]


class Heads(NamedTuple):
    """What one layer's attention is made of, each (B, A, S, D); attention transfer compares them."""

    query: Tensor
    key: Tensor
    value: Tensor


class Features(NamedTuple):
    """What distillation compares: `hidden` holds L+1 tensors (B, S, H), the embeddings' output first; `heads` one per layer."""

    hidden: list[Tensor]
    heads: list[Heads]


class Embeddings(nn.Module):
    """Word, position and segment embeddings, summed and normalised: (B, S) -> (B, S, E)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        size = architecture.embedding_size or architecture.hidden_size
        self.word_embeddings = nn.Embedding(architecture.vocab_size, size)
        self.position_embeddings = nn.Embedding(architecture.max_positions, size)
        self.token_type_embeddings = nn.Embedding(architecture.token_types, size) if architecture.token_types else None
        self.LayerNorm = nn.LayerNorm(size, eps=LAYER_NORM_EPS)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: input_ids.shape[1]]  # (S, E)
        total = self.word_embeddings(input_ids) + positions
        if self.token_type_embeddings is not None:  # DistilBERT has none
            total = total + self.token_type_embeddings(token_type_ids)
        return self.LayerNorm(total)


class SelfAttention(nn.Module):
    """The three projections of one layer's attention."""

    def __init__(self, hidden_size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: Tensor) -> Heads:
        return Heads(*map(self.split, self.projected(hidden)))

    def projected(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (..., H), the heads side by side."""
        return self.query(hidden), self.key(hidden), self.value(hidden)

    def split(self, projected: Tensor) -> Tensor:
        """(B, S, H) -> (B, A, S, D)."""
        batch, tokens, width = projected.shape
        return projected.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)


class Residual(nn.Module):
    """The end of each half layer: a projection to the hidden size, the residual added, LayerNorm."""

    def __init__(self, inner_size: int, hidden_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=LAYER_NORM_EPS)

    def forward(self, inner: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(inner) + residual)


class Attention(nn.Module):
    """The first half of a layer: self-attention, its output projection, residual and LayerNorm."""

    def __init__(self, hidden_size: int, heads: int) -> None:
        super().__init__()
        self.self = SelfAttention(hidden_size, heads)
        self.output = Residual(hidden_size, hidden_size)

    def forward(self, hidden: Tensor, scores_mask: Tensor) -> tuple[Tensor, Heads]:
        heads: Heads = self.self(hidden)
        return self.output(self.context(heads, scores_mask), hidden), heads

    @staticmethod
    def context(heads: Heads, scores_mask: Tensor) -> Tensor:
        """What each token takes from the others: (B, S, H)."""
        mixed = _attend(heads, scores_mask)  # (B, A, S, D)
        return mixed.transpose(1, 2).flatten(2)


class Intermediate(nn.Module):
    """The FFN's first matmul and its activation: (B, S, H) -> (B, S, F)."""

    def __init__(self, hidden_size: int, ffn_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, ffn_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.gelu(self.dense(hidden))


class Layer(nn.Module):
    """One post-LayerNorm transformer layer (Vaswani et al. 2017; BERT's parameter names)."""

    def __init__(self, hidden_size: int, heads: int, ffn_size: int) -> None:
        super().__init__()
        self.attention = Attention(hidden_size, heads)
        self.intermediate = Intermediate(hidden_size, ffn_size)
        self.output = Residual(ffn_size, hidden_size)

    def forward(self, hidden: Tensor, scores_mask: Tensor) -> tuple[Tensor, Heads]:
        attended, heads = self.attention(hidden, scores_mask)
        return self.output(self.intermediate(attended), attended), heads


class Stack(nn.Module):
    """The layers, under BERT's name `encoder.layer`."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        sizes = architecture.hidden_size, architecture.heads
        self.layer = nn.ModuleList(Layer(*sizes, ffn_size) for ffn_size in architecture.ffn_sizes)


class Encoder(nn.Module):
    """Tokens in, N numbers a sentence (or pair) out; with no outputs asked for, the pooled sentence vector itself.

    Args:
        architecture: sizes.
        outputs: N of the head; 0 leaves the head away and returns what is pooled.
        pooling: 'mean' over the real tokens; 'cls' takes the first token; 'pair' takes the mean of each of two sentences, u and
            v, and gives the head [u, v, |u - v|, u * v] (Conneau et al. 2017, InferSent), 4 H wide.
        seed: of the random initial weights (normal, 0.02, as BERT).
    """

    def __init__(self, architecture: Architecture, outputs: int = 0, pooling: Pooling = "mean", seed: int = 0) -> None:
        super().__init__()
        self.architecture = architecture
        self.outputs = outputs
        self.pooling = pooling
        hidden_size = architecture.hidden_size
        self.embeddings = Embeddings(architecture)
        self.embeddings_project = nn.Linear(architecture.embedding_size, hidden_size) if architecture.projected else None
        self.encoder = Stack(architecture)
        pooled_size = 4 * hidden_size if pooling == "pair" else hidden_size
        self.classifier = nn.Linear(pooled_size, outputs) if outputs else None
        self._initialise(seed)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Three int64 tensors (B, S) -> float32 (B, N), or (B, H) without a head."""
        hidden = self.features(input_ids, token_type_ids, attention_mask).hidden[-1]
        return self.answer(hidden, token_type_ids, attention_mask)

    def answer(self, hidden: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What `forward` makes of the last hidden state (B, S, H)."""
        return self.head(self.pool(hidden, token_type_ids, attention_mask))

    def head(self, pooled: Tensor) -> Tensor:
        """(B, what `pool` gives) -> (B, N); without a head, as it is."""
        return pooled if self.classifier is None else cast(Tensor, self.classifier(pooled))

    def features(
        self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor, trained: range | None = None
    ) -> Features:
        """All hidden states and attention heads, for distillation. With `trained`, some of the layers, those after them are not run, and what
        is before them has no gradients."""
        trained = range(len(self.layers)) if trained is None else trained
        wanted = torch.is_grad_enabled()
        with torch.set_grad_enabled(wanted and trained.start == 0):
            hidden = self.embedded(input_ids, token_type_ids)
        scores_mask = mask_of_scores(attention_mask, hidden.dtype)
        features = Features([hidden], [])
        for number, layer in enumerate(self.layers[: trained.stop]):
            with torch.set_grad_enabled(wanted and number >= trained.start):
                hidden, heads = layer(hidden, scores_mask)
            features.hidden.append(hidden)
            features.heads.append(heads)
        return features

    def embedded(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """What the first layer reads: (B, S) -> (B, S, H)."""
        hidden = self.embeddings(input_ids, token_type_ids)
        return hidden if self.embeddings_project is None else self.embeddings_project(hidden)

    def pool(self, hidden: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, S, H) -> (B, H), or (B, 4 H) for 'pair'."""
        if self.pooling == "cls":
            return hidden[:, 0]
        mask = attention_mask.to(hidden.dtype)
        if self.pooling == "mean":
            return mean_of_tokens(hidden, mask)
        second = token_type_ids.to(hidden.dtype)
        u, v = mean_of_tokens(hidden, mask * (1 - second)), mean_of_tokens(hidden, mask * second)
        return torch.cat([u, v, (u - v).abs(), u * v], dim=-1)

    @property
    def layers(self) -> list[Layer]:
        return [cast(Layer, layer) for layer in self.encoder.layer]

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIALIZER_RANGE, generator=generator)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)


def _attend(heads: Heads, scores_mask: Tensor) -> Tensor:
    """Softmax(Q K^T / sqrt(D)) V: three (B, A, S, D) -> the same.

    On CPUs, torch's gradients of it are six times slower in bf16 than in float32 (32 sentences of 32 tokens: 33 and 4 ms).
    """
    query = heads.query
    if query.dtype == torch.bfloat16 and query.device.type == "cpu" and query.requires_grad:
        with torch.autocast("cpu", enabled=False):
            exact = Heads(*(each.float() for each in heads))
            return functional.scaled_dot_product_attention(*exact, attn_mask=scores_mask.float()).to(query.dtype)
    return functional.scaled_dot_product_attention(*heads, attn_mask=scores_mask)


def mask_of_scores(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, S), 1 on real tokens -> (B, 1, 1, S), added to the attention scores: zero on them and `MASKED_SCORE` elsewhere."""
    return (1 - attention_mask[:, None, None, :].to(dtype)) * MASKED_SCORE


def mean_of_tokens(hidden: Tensor, weights: Tensor) -> Tensor:
    """Mean of the tokens whose weight (B, S) is 1: (B, S, H) -> (B, H); zero where there are none."""
    total = torch.bmm(weights[:, None, :], hidden)[:, 0]  # (B, H)
    return total / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
