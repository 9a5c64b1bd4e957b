"""The kernels that the compiler makes of an architecture, from its sizes alone: no torch, no TVM, in microseconds.

Tests hold the list against the compiler's own (`compiler.work.work_of`), kernel by kernel.
"""

from collections.abc import Iterator
from functools import lru_cache

from compiler.precisions import FP16, FP32, INT8
from compiler.quantization import STEP
from compiler.work import NUMBER_BYTES, Work
from data.errors import UsageError
from engine.architecture import Architecture, MobileBert, SqueezeBert
from engine.relatives import is_relative

HALF_BYTES = 2
GELU_OPERATORS = ("divide", "erf", "add one", "multiply by x", "halve")


@lru_cache(maxsize=4096)
def kernels_of(
    architecture: Architecture, seq_len: int, fusion: str = "lp", precision: str = "fp32", batch: int = 1
) -> tuple[Work, ...]:
    """What one inference of `batch` sentences of `seq_len` tokens runs, embedding and readout included.

    Raises:
        UsageError: without fusion, what is not `derivable`: its kernels are the compiler's to list.
    """
    if fusion == "lp":
        return tuple(_Fused(architecture, seq_len, precision, batch).kernels())
    if not derivable(architecture, fusion, precision):
        raise UsageError(
            f"without fusion, the kernels of {architecture} in {precision} are not known from its sizes; take fusion lp"
        )
    return tuple(_unfused(architecture, seq_len, batch))


def derivable(architecture: Architecture, fusion: str, precision: str) -> bool:
    """Whether `kernels_of` knows them: without fusion, only BERT's own layers in fp32."""
    return fusion == "lp" or (precision == FP32 and not is_relative(architecture))


class _Fused:
    """LP-Fusion's blocks: five kernels a layer (MobileBERT: fourteen), embedding, readout."""

    def __init__(self, architecture: Architecture, seq_len: int, precision: str, batch: int) -> None:
        self.architecture, self.seq_len, self.batch = architecture, seq_len, batch
        self.rows = seq_len * batch
        self.int8, self.fp16 = precision == INT8, precision == FP16

    def kernels(self) -> Iterator[Work]:
        model = self.architecture
        hidden = model.hidden_size
        if isinstance(model, MobileBert):
            yield from self._trigram_embedding(model)
            for ffn in model.ffn_sizes:
                yield from self._bottleneck_layer(model, ffn)
        else:
            width = model.embedding_size or hidden
            yield self._embedding(width, tables=2 + (model.token_types > 0), norm=not model.projected)
            if model.projected:
                yield from self._linear(width, hidden)
            groups = model.groups if isinstance(model, SqueezeBert) else 1
            for ffn in model.ffn_sizes:
                yield from self._layer(hidden, model.heads, ffn, groups)
        # the last hidden states' mean, weighted by the mask
        yield Work("readout", 2 * self.rows * hidden, 0, 0, NUMBER_BYTES * (self.rows + self.batch) * hidden)

    def _layer(self, hidden: int, heads: int, ffn: int, groups: int) -> Iterator[Work]:
        yield from self._linear(hidden, 3 * hidden, groups=groups, halved=True)
        yield self._attention(hidden, heads)
        yield from self._linear(hidden, hidden, residual=True, vectors=2, from_half=True)
        yield from self._linear(hidden, ffn, groups=groups, functions=True, halved=True)
        yield from self._linear(ffn, hidden, groups=groups, residual=True, vectors=2, from_half=True)

    def _bottleneck_layer(self, model: MobileBert, ffn: int) -> Iterator[Work]:
        hidden, narrow = model.hidden_size, model.bottleneck_size
        yield from self._linear(hidden, 3 * narrow, halved=True)
        yield self._attention(narrow, model.heads)
        yield from self._linear(hidden, narrow, rounded_before=True)  # the residual's way in
        yield from self._linear(narrow, narrow, residual=True, vectors=1, from_half=True)
        for index in range(model.ffns):
            last = index == model.ffns - 1  # of which nothing takes a residual
            yield from self._linear(narrow, ffn, halved=True)
            yield from self._linear(ffn, narrow, residual=True, vectors=1, from_half=True, halved=last)
        yield from self._linear(narrow, hidden, residual=True, vectors=1, from_half=True)

    def _embedding(self, width: int, tables: int, norm: bool) -> Work:
        constants = tables * self.rows * width + (2 * width if norm else 0)
        return Work("embedding", 0, 0, NUMBER_BYTES * constants, NUMBER_BYTES * self.rows * width)

    def _trigram_embedding(self, model: MobileBert) -> Iterator[Work]:
        side_by_side, hidden = model.tokens_a_row * model.embedding_size, model.hidden_size
        words, written = self.rows * model.embedding_size, self.rows * side_by_side
        yield Work("embedding", 0, 0, NUMBER_BYTES * words, NUMBER_BYTES * written)
        yield self._embedding(hidden, tables=2, norm=False)
        yield from self._linear(side_by_side, hidden, residual=True, vectors=1)

    def _attention(self, hidden: int, heads: int) -> Work:
        scores, number = self.rows * self.seq_len, HALF_BYTES if self.fp16 else NUMBER_BYTES
        kind = "attention_fp16" if self.fp16 else "attention"
        return Work(kind, 4 * scores * hidden, heads * scores, 0, number * 4 * self.rows * hidden)

    def _linear(
        self,
        depth: int,
        width: int,
        *,
        groups: int = 1,
        residual: bool = False,
        vectors: int = 0,
        functions: bool = False,
        rounded_before: bool = False,
        halved: bool = False,
        from_half: bool = False,
    ) -> Iterator[Work]:
        """x (R, K) @ weight (K / groups, N) + bias; `vectors` of N besides: a norm's scale and shift, or a residual's scale.

        In fp16 and int8 x is rounded by a kernel of its own, unless another layer's was (`rounded_before`), or what made x wrote it
        in fp16 (`from_half`), as this layer does where nothing but matmuls reads it (`halved`).
        """
        rows, matrix, written = self.rows, depth // groups * width, NUMBER_BYTES
        kind, number = "linear", NUMBER_BYTES
        if self.int8 and depth // groups % STEP == 0:
            kind, number = "linear_int8", 1
            if not rounded_before:
                yield Work("quantize", 0, 0, 0, (NUMBER_BYTES + 1) * rows * depth)
        elif self.fp16:
            kind, number, written = "linear_fp16", HALF_BYTES, HALF_BYTES if halved else NUMBER_BYTES
            if not rounded_before and not from_half:
                yield Work("half", 0, 0, 0, (NUMBER_BYTES + HALF_BYTES) * rows * depth)
        yield Work(
            kind,
            2 * rows * matrix,
            rows * width if functions else 0,
            number * matrix + NUMBER_BYTES * (1 + vectors) * width,
            number * rows * depth + (written + NUMBER_BYTES * residual) * rows * width,
        )


def _unfused(model: Architecture, seq_len: int, batch: int) -> Iterator[Work]:
    """A kernel for every operator, as CANAO's Table 1 counts layers, on BERT's own layers."""
    rows, hidden = seq_len * batch, model.hidden_size
    width = model.embedding_size or hidden
    scores, mask = model.heads * rows * seq_len, rows
    product = Work("batch_matmul", 2 * rows * seq_len * hidden, 0, 0, NUMBER_BYTES * (2 * rows * hidden + scores))
    turned = _operator("transpose", rows * hidden)
    yield _operator("gather", rows * width, reads=0, constants=rows * width)
    yield _operator("elementwise", rows * width, constants=rows * width)  # positions
    if model.token_types:
        yield _operator("gather", rows * width, reads=0, constants=rows * width)
        yield _operator("elementwise", rows * width, reads=2)
    yield from _norm(rows, width)
    if model.projected:
        yield from _biased(rows, width, hidden)
    yield _operator("readout", mask, reads=0)
    for ffn in model.ffn_sizes:
        for _ in ("queries", "keys"):
            yield from _biased(rows, hidden, hidden)
            yield turned
        yield product
        yield _operator("elementwise", scores)
        yield _operator("elementwise", scores, beside=mask)
        yield _operator("rowwise", scores, functions=scores)
        yield from _biased(rows, hidden, hidden)
        yield turned
        yield product
        yield turned
        yield from _biased(rows, hidden, hidden)
        yield _operator("elementwise", rows * hidden, reads=2)
        yield from _norm(rows, hidden)
        yield from _biased(rows, hidden, ffn)
        for operator in GELU_OPERATORS:
            yield _operator(
                "elementwise",
                rows * ffn,
                reads=2 if operator == "multiply by x" else 1,
                functions=rows * ffn if operator == "erf" else 0,
            )
        yield from _biased(rows, ffn, hidden)
        yield _operator("elementwise", rows * hidden, reads=2)
        yield from _norm(rows, hidden)
    yield _operator("readout", mask, reads=0)
    yield Work("readout", 2 * rows * hidden, 0, 0, NUMBER_BYTES * (rows * hidden + mask + batch * hidden))
    yield _operator("readout", mask, reads=0)
    yield Work("readout", 0, 0, 0, NUMBER_BYTES * (mask + batch))
    yield Work("readout", 0, 0, 0, NUMBER_BYTES * 2 * batch)
    yield Work("readout", 0, 0, 0, NUMBER_BYTES * batch * (2 * hidden + 1))


def _biased(rows: int, depth: int, width: int) -> Iterator[Work]:
    matrix = NUMBER_BYTES * (depth * width + width)
    yield Work("linear", 2 * rows * depth * width, 0, matrix, NUMBER_BYTES * rows * (depth + width))
    yield _operator("elementwise", rows * width, constants=width)


def _norm(rows: int, width: int) -> Iterator[Work]:
    """LayerNorm written out: mean, difference, square, its mean, epsilon, root, quotient, scale, shift."""
    yield Work("rowwise", 0, 0, 0, NUMBER_BYTES * rows * (width + 1))
    yield _operator("elementwise", rows * width, beside=rows)
    yield _operator("elementwise", rows * width)
    yield Work("rowwise", 0, 0, 0, NUMBER_BYTES * rows * (width + 1))
    yield _operator("elementwise", rows)
    yield _operator("elementwise", rows)
    yield _operator("elementwise", rows * width, beside=rows)
    yield _operator("elementwise", rows * width, constants=width)
    yield _operator("elementwise", rows * width, constants=width)


def _operator(kind: str, size: int, *, reads: int = 1, beside: int = 0, constants: int = 0, functions: int = 0) -> Work:
    """One that writes `size` numbers and reads `reads` tensors as large, and `beside` numbers more."""
    return Work(kind, 0, functions, NUMBER_BYTES * constants, NUMBER_BYTES * ((1 + reads) * size + beside))
