"""Words to write TIR with: the loops, tiles and vector functions that every block's schedule is made of."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import gcd, prod
from typing import Any, NamedTuple, Self

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from compiler.isa import Isa

Expression = Any
Buffer = Any
Shape = tuple[int, ...]

CHAINS = 4
LOWEST = -1e30  # a masked score: exp() of its distance to any other is zero
LOWEST_HALF = -3e4  # the same in float16, with room for a score beside it
# erf(x / sqrt 2) = x P(x^2) / Q(x^2) on [-5.3, 5.3], beyond which it is 1 in float32; lowest power first. Lawson's reweighted least squares
# for the least error of GELU: 1.3e-8
ERF_LIMIT = 5.3
ERF_P = (0.7978841991, 0.06803598043, 0.009389353373, 3.431131914e-4, 1.294281532e-5, 4.650878339e-8)
ERF_Q = (1.0, 0.2519351987, 0.02875978994, 1.899135904e-3, 7.505848102e-5, 1.221051108e-6)
# The same on [-4, 4] for what is rounded to float16, whose last digit is 5e-4 of a number: GELU within 7e-7 there, beyond within 3e-5 of x
ERF_LIMIT_HALF = 4.0
ERF_P_HALF = (0.7979001308, 0.05365396733, 0.007727520766, 6.90700601e-5)
ERF_Q_HALF = (1.0, 0.2339790223, 0.0236032353, 1.192623267e-3)
# e^r on [-ln 2 / 2, ln 2 / 2], the least relative error of degree 5: 7.5e-8 (fitted by reweighted least squares)
EXP_P = (8.297647671e-3, 4.191543142e-2, 1.66675751e-1, 4.999889441e-1, 9.999996918e-1, 1.000000072)
# 2^r on [-1/2, 1/2], likewise: 7.5e-8
EXP2_P = (1.327647219e-3, 9.675541616e-3, 5.550713275e-2, 2.402211972e-1, 6.931469671e-1, 1.000000072)
# 2^r on [-1/2, 1/2] for float16: 1.0e-4. Exactly 1 at 0, whose bits less fifteen exponents are those of zero
EXP2_P_HALF = (0.05500819, 0.2422110, 0.6932830, 1.0)
LEAST_POWER_HALF = -15.0
# x Phi(-x) = x / P(x)^4 for x >= 0, the form of Abramowitz and Stegun 7.1.27, fitted for GELU's least error: 2.9e-4. Beyond what float16
# holds the quotient is zero, as it should be.
NORMAL_TAIL_P = (0.03594428, -0.05362240, 0.2102350, 0.1983323, 1.194075)
ROUNDING = 12582912.0  # 1.5 * 2^23: a small number added to it is rounded to an integer, which the sum's last bits hold
ROUNDING_HALF = 1536.0  # 1.5 * 2^10, likewise in float16

SCRATCH_ALIGNMENT = 64
READ, SECOND_LEVEL, DATA = 0, 2, 1  # llvm.prefetch's arguments
TOGETHER = (4, 2, 1)  # vectors
LINE_WORDS = 16  # of 32 bits, in a cache line
VECTOR_BITS = 128  # of those that `Isa.by_lane` takes a lane of
RUNS = (2, 1)  # of such vectors, a round of a loop
_scratch_bytes: ContextVar[list[int]] = ContextVar("scratch_bytes")


class Function(NamedTuple):
    """A kernel in TIR, and the scratch memory that one of its tasks takes."""

    tir: Any
    scratch_bytes: int


def kernel(symbol: str, parameters: Sequence[tuple[str, Shape, str]], body: Callable[..., None]) -> Function:
    """A function of tensors; `body` gets their buffers and writes the code."""
    sizes: list[int] = []
    token = _scratch_bytes.set(sizes)
    try:
        with IRBuilder() as builder, T.prim_func():
            T.func_name(symbol)
            T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
            body(*(T.arg(name, T.buffer(shape, dtype)) for name, shape, dtype in parameters))
        return Function(builder.get(), sum(sizes))
    finally:
        _scratch_bytes.reset(token)


def tasks(count: int) -> Any:
    """A loop whose rounds the runtime's threads share."""
    return T.parallel(0, count)


def loop(count: int) -> Any:
    return T.serial(0, count)


def lanes(count: int) -> Any:
    """A loop that is one vector instruction."""
    return T.vectorized(0, count)


@contextmanager
def when(condition: Expression) -> Any:
    with ExitStack() as stack:
        stack.enter_context(T.If(condition))
        stack.enter_context(T.Then())
        yield


def local(*shape: int, dtype: str = "float32") -> Buffer:
    """Scratch memory of a task, to be taken outside its loops: a call each time. What a loop sums in it stays in registers."""
    size = prod(shape) * np.dtype(dtype).itemsize
    _scratch_bytes.get().append(-(-size // SCRATCH_ALIGNMENT) * SCRATCH_ALIGNMENT)
    return T.alloc_buffer(shape, dtype, scope="local")


def store(buffer: Buffer, value: Expression, *indices: Expression) -> None:
    T.buffer_store(buffer, value, list(indices))


def prefetch(buffer: Buffer, *indices: Expression) -> None:
    """Ask for an element's cache line to be brought near (second-level cache). It may lie beyond the buffer: nothing is read then."""
    T.evaluate(T.call_intrin("void", "tirx.prefetch", T.address_of(buffer[tuple(indices)]), READ, SECOND_LEVEL, DATA))


def number(value: float, dtype: str = "float32") -> Expression:
    return tirx.const(value, dtype)


def vector(start: Expression, lanes: int) -> Expression:
    """Indices of `lanes` neighbours; of one number, its own."""
    return T.Ramp(start, 1, lanes) if lanes > 1 else start


def lowest(dtype: str) -> float:
    """A masked score."""
    return LOWEST_HALF if dtype == "float16" else LOWEST


def bits(dtype: str) -> int:
    return 8 * np.dtype(dtype).itemsize


def cast(dtype: str, value: Expression) -> Expression:
    """A float32 number as `dtype`."""
    return value if dtype == "float32" else tirx.Cast(dtype, value)


def load(buffer: Buffer, dtype: str, lanes: int, *indices: Expression) -> Expression:
    """`lanes` neighbours from `indices` on, as `dtype`."""
    *rows, first = indices
    value = buffer[(*rows, vector(first, lanes))]
    return value if buffer.dtype == dtype else tirx.Cast(dtype if lanes == 1 else f"{dtype}x{lanes}", value)


def columns(width: int, vector: int, body: Callable[[Expression], None]) -> None:
    """`body(column)` for each column, a vector at a time and the rest one by one."""
    if width // vector:
        with loop(width // vector) as chunk, lanes(vector) as lane:
            body(chunk * vector + lane)
    if width % vector:
        with loop(width % vector) as rest:
            body(rest + width // vector * vector)


def together(width: int, vector: int, body: Callable[[Expression], None], isa: Isa) -> None:
    """`columns` for a `body` of many operations and constants, `width` being whole vectors: several vectors side by side, whose chains
    of operations overlap and which load each constant once. Where constants have to be in registers, only two."""
    done = 0
    for vectors in TOGETHER[1:] if isa.by_lane else TOGETHER:
        chunk = vectors * vector
        count = (width - done) // chunk
        if count:
            with loop(count) as number, lanes(chunk) as lane:
                body(done + number * chunk + lane)
        done += count * chunk


@dataclass(frozen=True)
class Factors:
    """Numbers of a row that multiply whole vectors, one after the other: an instruction of `Isa.by_lane` takes each out of a vector of
    `run` that is loaded at once; where `run` is 1, each is broadcast from memory.

    Attributes:
        lanes: of the vectors that are multiplied.
    """

    run: int
    lanes: int

    @classmethod
    def of(cls, isa: Isa, count: int, lanes: int, bits: int = 32) -> Self:
        """For `count` numbers of `bits` each in a row."""
        return cls(gcd(count, VECTOR_BITS // bits) if isa.by_lane else 1, lanes)

    def each(self, count: int, times: Sequence[int], body: Callable[[Expression, int], None]) -> None:
        """`body(first, lane)` for `count` numbers in turn: the one that is `lane` behind `first`."""

        def run(chunk: Expression) -> None:
            for lane in range(self.run):
                body(chunk * self.run, lane)

        unrolled(count // self.run, times if self.run == 1 else RUNS, run)

    def take(self, buffer: Buffer, dtype: str, lane: int, *first: Expression) -> Expression:
        """A vector of nothing but the number that is `lane` behind the one at `first`."""
        loaded = load(buffer, dtype, self.run, *first)
        if self.run == 1:
            return T.Broadcast(loaded, self.lanes)
        wide_enough = [loaded] * -(-self.lanes // self.run)  # Shuffle gives no more numbers than it gets
        return tirx.Shuffle(wide_enough, [tirx.const(lane, "int32")] * self.lanes)


def unrolled(count: int, times: Sequence[int], body: Callable[[Expression], None]) -> None:
    """`body(index)` for each index, as many a round as the first of `times` that divides `count`. Where a core's other thread is busy,
    what a loop of multiply-adds waits for is its other instructions."""
    together = next(each for each in times if count % each == 0)
    with loop(count // together) as number:
        for each in range(together):
            body(number * together + each)


def transpose(source: Buffer, row: Expression, target: Buffer, first: Expression, stride: int, rows: int, width: int) -> None:
    """`rows` rows of `source`, from `row` on, column by column: the numbers of column c from target[first + c * stride] on. Of squares, a
    vector of each row is interleaved with another's until each holds a column; `rows` is a power of two."""

    def square(chunk: Expression) -> None:
        vectors = [source[row + index, vector(chunk * rows, rows)] for index in range(rows)]
        for _ in range(rows.bit_length() - 1):
            pairs = list(zip(vectors[: rows // 2], vectors[rows // 2 :], strict=True))
            vectors = [_interleaved(*pair, half, rows) for pair in pairs for half in (0, 1)]
        for index, column in enumerate(vectors):
            T.buffer_store(target, column, [vector(first + (chunk * rows + index) * stride, rows)])

    if width // rows:
        with loop(width // rows) as chunk:
            square(chunk)
    if width % rows:
        with loop(width % rows) as rest:
            column = rest + width // rows * rows
            for index in range(rows):
                store(target, source[row + index, column], first + column * stride + index)


def _interleaved(left: Expression, right: Expression, half: int, lanes: int) -> Expression:
    """The lower or upper half of two vectors, number by number."""
    first = half * lanes // 2
    taken = [index + side for index in range(first, first + lanes // 2) for side in (0, lanes)]
    return tirx.Shuffle([left, right], [tirx.const(index, "int32") for index in taken])


def within(width: int, column: Expression, vector: int, partial: bool, body: Callable[[Expression], None]) -> None:
    """`body(lane)` for a vector that starts at `column`, but only for lanes below `width`; `partial`: some may not be."""
    if width % vector:
        with loop(vector) as lane, when(column + lane < width):
            body(lane)
    elif partial:
        with when(column < width), lanes(vector) as lane:
            body(lane)
    else:
        with lanes(vector) as lane:
            body(lane)


def grid(rows: int, vectors: int) -> Iterator[tuple[int, int, int]]:
    """(row, vector, index) of a register tile's vectors."""
    return ((row, vector, row * vectors + vector) for row in range(rows) for vector in range(vectors))


class Reduction:
    """Sums along a row; several chains of additions hide their latency. Chains are summed in `dtype`, their ends in float32."""

    def __init__(self, vector: int, dtype: str = "float32") -> None:
        self.vector, self.dtype = vector, dtype
        self.partial = local(CHAINS, vector, dtype=dtype)
        self.total = local(1)

    def sum(self, width: int, term: Callable[[Expression], Expression]) -> Expression:
        """The sum of `term(column)`; valid until the next one."""
        vector, partial, total = self.vector, self.partial, self.total
        chunks = width // vector
        chains = max(count for count in range(1, CHAINS + 1) if chunks % count == 0)
        for chain in range(chains):
            with lanes(vector) as lane:
                store(partial, number(0.0, self.dtype), chain, lane)
        if chunks:
            with loop(chunks // chains) as chunk:
                for chain in range(chains):
                    with lanes(vector) as lane:
                        store(partial, partial[chain, lane] + term((chunk * chains + chain) * vector + lane), chain, lane)
        for chain in range(1, chains):
            with lanes(vector) as lane:
                store(partial, partial[0, lane] + partial[chain, lane], 0, lane)
        store(total, number(0.0), 0)
        for lane in range(vector):
            store(total, total[0] + load(partial, "float32", 1, 0, lane), 0)
        if width % vector:
            with loop(width % vector) as rest:
                store(total, total[0] + tirx.Cast("float32", term(rest + chunks * vector)), 0)
        return total[0]


class Highest:
    """The greatest number of a row."""

    def __init__(self, vector: int, dtype: str = "float32") -> None:
        self.vector = vector
        self.partial = local(vector, dtype=dtype)
        self.top = local(1, dtype=dtype)

    def of(self, width: int, term: Callable[[Expression], Expression]) -> Expression:
        """The greatest `term(column)`; valid until the next one."""
        vector, partial, top = self.vector, self.partial, self.top
        with lanes(vector) as lane:
            store(partial, number(2 * lowest(partial.dtype), partial.dtype), lane)

        def take(chunk: Expression) -> None:
            with lanes(vector) as lane:
                store(partial, tirx.max(partial[lane], term(chunk * vector + lane)), lane)

        if width // vector:
            unrolled(width // vector, TOGETHER, take)
        store(top, partial[0], 0)
        for lane in range(1, vector):
            store(top, tirx.max(top[0], partial[lane]), 0)
        if width % vector:
            with loop(width % vector) as rest:
                store(top, tirx.max(top[0], term(rest + width // vector * vector)), 0)
        return top[0]


class LayerNorm:
    """Normalises rows in place: mean, then variance about it, then the affine where there is one."""

    def __init__(self, width: int, vector: int, scale: Buffer | None, shift: Buffer | None, epsilon: float) -> None:
        self.width, self.vector, self.scale, self.shift, self.epsilon = width, vector, scale, shift, epsilon
        self.reduction = Reduction(vector)
        self.statistics = local(2)

    def apply(self, rows: Buffer, row: Expression) -> None:
        mean, factor, each = self.statistics[0], self.statistics[1], number(1.0 / self.width)
        store(self.statistics, self.reduction.sum(self.width, lambda c: rows[row, c]) * each, 0)
        variance = self.reduction.sum(self.width, lambda c: (rows[row, c] - mean) * (rows[row, c] - mean)) * each
        store(self.statistics, number(1.0) / tirx.sqrt(variance + number(self.epsilon)), 1)

        def normalise(column: Expression) -> None:
            normalised = (rows[row, column] - mean) * factor
            if self.scale is not None and self.shift is not None:
                normalised = normalised * self.scale[column] + self.shift[column]
            store(rows, normalised, row, column)

        columns(self.width, self.vector, normalise)


def exp(x: Expression) -> Expression:
    """e^x by 2^n times a polynomial, n added to its exponent's bits; within 2 units in the last place, zero below -87."""
    x = tirx.max(tirx.min(x, number(88.0)), number(-87.0))
    bits = tirx.reinterpret("int32", x * number(1.44269504) + number(ROUNDING))
    # Through the bits: TVM's simplifier takes (x + c) - c for x.
    n = tirx.reinterpret("float32", bits) - number(ROUNDING)
    r = x - n * number(0.693359375) + n * number(2.12194440e-4)
    exponent = bits << tirx.const(23, "int32")
    return tirx.reinterpret("float32", tirx.reinterpret("int32", polynomial(r, EXP_P)) + exponent)


def exp_below_zero(x: Expression) -> Expression:
    """e^x for x <= 0, within 2 units in the last place of 1: 2^n times a polynomial, as `exp`, but x is taken to powers of two in one
    rounding, which is felt only where e^x is small."""
    x = tirx.max(x * number(1.44269504), number(-126.0))
    bits = tirx.reinterpret("int32", x + number(ROUNDING))
    r = x - (tirx.reinterpret("float32", bits) - number(ROUNDING))
    return tirx.reinterpret("float32", tirx.reinterpret("int32", polynomial(r, EXP2_P)) + (bits << tirx.const(23, "int32")))


def exp_below_zero_half(x: Expression) -> Expression:
    """`exp_below_zero` in arithmetic on float16, to about 5e-4; zero below -10.4."""
    x = tirx.max(x * number(1.44269504, "float16"), number(LEAST_POWER_HALF, "float16"))
    rounding = number(ROUNDING_HALF, "float16")
    bits = tirx.reinterpret("int16", x + rounding)
    r = x - (tirx.reinterpret("float16", bits) - rounding)
    power = tirx.reinterpret("int16", polynomial(r, EXP2_P_HALF, "float16"))
    return tirx.reinterpret("float16", power + (bits << tirx.const(10, "int16")))


def erf(x: Expression) -> Expression:
    return _normal(x * number(1.4142135623730951))


def gelu(x: Expression) -> Expression:
    half = x * number(0.5)
    return half + half * _normal(x)


def gelu_half(x: Expression) -> Expression:
    """`gelu` as exact as float16 is."""
    half = x * number(0.5)
    return half + half * _normal(x, ERF_LIMIT_HALF, ERF_P_HALF, ERF_Q_HALF)


def gelu_in_half(x: Expression) -> Expression:
    """`gelu` in arithmetic on float16: relu(x) less |x| Phi(-|x|), which is at most 0.17, so that its error is small beside a rounding's."""
    size = tirx.abs(x)
    square = polynomial(size, NORMAL_TAIL_P, "float16")
    square = square * square
    return relu_in_half(x) - size / (square * square)


def _normal(
    x: Expression, limit: float = ERF_LIMIT, above: Sequence[float] = ERF_P, below: Sequence[float] = ERF_Q
) -> Expression:
    """erf(x / sqrt 2): a normal distribution's share within x of its middle, with x's sign."""
    x = tirx.max(tirx.min(x, number(limit)), number(-limit))
    return x * estrin(x * x, above) / estrin(x * x, below)


def gelu_tanh(x: Expression) -> Expression:
    """x / 2 (1 + tanh z), written as x / (1 + e^-2z)."""
    z = x * (number(0.7978845608028654) + number(0.035677408136300125) * x * x)
    return x / (number(1.0) + exp(z * number(-2.0)))


def relu(x: Expression) -> Expression:
    return tirx.max(x, number(0.0))


def relu_in_half(x: Expression) -> Expression:
    return tirx.max(x, number(0.0, "float16"))


def tanh(x: Expression) -> Expression:
    return number(1.0) - number(2.0) / (exp(x * number(2.0)) + number(1.0))


def polynomial(x: Expression, coefficients: Sequence[float], dtype: str = "float32") -> Expression:
    """Horner's rule, highest power first."""
    total = number(coefficients[0], dtype)
    for coefficient in coefficients[1:]:
        total = total * x + number(coefficient, dtype)
    return total


def estrin(x: Expression, coefficients: Sequence[float]) -> Expression:
    """A polynomial in x, lowest power first, as one in x^2 whose coefficients are pairs of terms: a chain half as long as Horner's rule's,
    in which a multiply-add that overwrites what it adds to has nothing to copy."""
    pairs = [number(low) + number(high) * x for low, high in zip(coefficients[::2], coefficients[1::2], strict=True)]
    total = pairs[-1]
    for pair in pairs[-2::-1]:
        total = pair + x * x * total
    return total


ACTIVATIONS: dict[str, Callable[[Expression], Expression]] = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu": relu}

OF_HALF: dict[str, Callable[[Expression], Expression]] = {"gelu": gelu_half}  # shorter where the answer is rounded to float16
# In arithmetic on float16
IN_HALF: dict[str, Callable[[Expression], Expression]] = {"gelu": gelu_in_half, "relu": relu_in_half}

OF_ONE_OPERATION = {"relu"}


def activate(name: str, x: Expression, rounded: str = "float32", computed: str = "float32") -> Expression:
    """An activation by its name; x itself where there is none.

    Args:
        x: of the type `computed`.
        rounded: the type that the answer will be rounded to.
    """
    if not name:
        return x
    if computed == "float16":
        return IN_HALF[name](x)
    return (OF_HALF.get(name, ACTIVATIONS[name]) if rounded == "float16" else ACTIVATIONS[name])(x)
