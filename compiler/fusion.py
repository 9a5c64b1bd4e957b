"""Which candidates are fused: access patterns say what may be, two costs say what is worth it. The one place that decides.

Patterns and table after DNNFusion (Niu et al., PLDI 2021, section 3), which CANAO's LP-Fusion builds on; costs are CANAO's
(section 3.4): memory access that goes away, and computation that grows to use the cores better.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from compiler.counts import flops
from compiler.graph import Value, fuse

FLOPS_PER_BYTE = (
    10  # what a core computes while memory brings it a byte: about 235 GFLOP/s and 20 GB/s on the host, less on phones
)
LAWS = ("associative", "distributive", "commutative")


class Pattern(StrEnum):
    """How an operator's results depend on its input: what one element of the input becomes."""

    ONE_TO_ONE = "one-to-one"  # one element of the result
    ONE_TO_MANY = "one-to-many"  # several, each of one source: a row that is gathered or broadcast
    MANY_TO_MANY = "many-to-many"  # parts of several, each of several sources: matmul, softmax, sums
    REORGANIZE = "reorganize"  # itself, in another shape and the same order
    SHUFFLE = "shuffle"  # itself, in another order


class Verdict(NamedTuple):
    """What a pair of patterns becomes; `same_rows`: only where one task holds all of the first that the second reads."""

    pattern: Pattern
    same_rows: bool = False


P = Pattern
# (first, second) -> the fused pair. DNNFusion fuses some pairs always, profiles others, and never fuses the two that are marked
# here, as each result of the second would compute the first anew: a task that owns whole rows computes it once. Costs decide
# the rest, here as everywhere.
TABLE: dict[tuple[Pattern, Pattern], Verdict] = {
    (P.ONE_TO_ONE, P.ONE_TO_ONE): Verdict(P.ONE_TO_ONE),
    (P.ONE_TO_ONE, P.ONE_TO_MANY): Verdict(P.ONE_TO_MANY),
    (P.ONE_TO_ONE, P.MANY_TO_MANY): Verdict(P.MANY_TO_MANY),
    (P.ONE_TO_ONE, P.REORGANIZE): Verdict(P.REORGANIZE),
    (P.ONE_TO_ONE, P.SHUFFLE): Verdict(P.SHUFFLE),
    (P.ONE_TO_MANY, P.ONE_TO_ONE): Verdict(P.ONE_TO_MANY),
    (P.ONE_TO_MANY, P.ONE_TO_MANY): Verdict(P.ONE_TO_MANY),
    (P.ONE_TO_MANY, P.MANY_TO_MANY): Verdict(P.MANY_TO_MANY, same_rows=True),
    (P.ONE_TO_MANY, P.REORGANIZE): Verdict(P.ONE_TO_MANY),
    (P.ONE_TO_MANY, P.SHUFFLE): Verdict(P.ONE_TO_MANY),
    (P.MANY_TO_MANY, P.ONE_TO_ONE): Verdict(P.MANY_TO_MANY),
    (P.MANY_TO_MANY, P.ONE_TO_MANY): Verdict(P.MANY_TO_MANY),
    (P.MANY_TO_MANY, P.MANY_TO_MANY): Verdict(P.MANY_TO_MANY, same_rows=True),
    (P.MANY_TO_MANY, P.REORGANIZE): Verdict(P.MANY_TO_MANY),
    (P.MANY_TO_MANY, P.SHUFFLE): Verdict(P.MANY_TO_MANY),
    (P.REORGANIZE, P.ONE_TO_ONE): Verdict(P.REORGANIZE),
    (P.REORGANIZE, P.ONE_TO_MANY): Verdict(P.ONE_TO_MANY),
    (P.REORGANIZE, P.MANY_TO_MANY): Verdict(P.MANY_TO_MANY),
    (P.REORGANIZE, P.REORGANIZE): Verdict(P.REORGANIZE),
    (P.REORGANIZE, P.SHUFFLE): Verdict(P.SHUFFLE),
    (P.SHUFFLE, P.ONE_TO_ONE): Verdict(P.SHUFFLE),
    (P.SHUFFLE, P.ONE_TO_MANY): Verdict(P.ONE_TO_MANY),
    (P.SHUFFLE, P.MANY_TO_MANY): Verdict(P.MANY_TO_MANY),
    (P.SHUFFLE, P.REORGANIZE): Verdict(P.SHUFFLE),
    (P.SHUFFLE, P.SHUFFLE): Verdict(P.SHUFFLE),
}
OTHER_PATTERNS: dict[str, Pattern] = {
    **dict.fromkeys(("take", "gather", "index_tensor", "broadcast_to"), P.ONE_TO_MANY),
    **dict.fromkeys(("reshape", "expand_dims", "squeeze", "flatten"), P.REORGANIZE),
    **dict.fromkeys(("permute_dims", "transpose"), P.SHUFFLE),
    **dict.fromkeys(
        (
            "matmul", "nn.conv1d", "nn.conv2d", "nn.softmax", "nn.layer_norm", "nn.attention", "nn.attention_bias", "sum", "mean",
            "linear", "attention", "embedding", "token_sum", "readout",
        ),
        P.MANY_TO_MANY,
    ),
}  # fmt: skip


class Costs(NamedTuple):
    """The two figures of a candidate.

    Attributes:
        saved_bytes: of intermediate tensors that no kernel writes any more.
        enlargement: FLOPs of the one kernel that results, in those of its largest part; 1 where there are none.
        extra_flops: computed besides what was computed before, because a part's result is still needed by others; negative where
            a law takes work away.
    """

    saved_bytes: int
    enlargement: float
    extra_flops: int

    @property
    def worthwhile(self) -> bool:
        """Whether memory access saved outweighs work added; a tie goes to the larger kernel."""
        gain = self.saved_bytes * FLOPS_PER_BYTE - self.extra_flops
        return gain > 0 or (gain == 0 and self.enlargement > 1)


@dataclass(frozen=True)
class Candidate:
    """Values that a law or a pattern allows to be one block.

    Attributes:
        of: the values, each after its inputs, the block's result among them.
        results: those that the block yields; the others are intermediate.
        same_rows: a task of the block's kernel owns whole rows from the first value to the last.
    """

    block: Value
    of: Sequence[Value]
    results: Sequence[Value]
    law: str
    same_rows: bool = False

    def allowed(self) -> bool:
        """A computation law allows anything; otherwise the patterns, one after the other."""
        if self.law.split(":")[0] in LAWS:
            return True
        pattern = pattern_of(self.of[0])
        for value in self.of[1:]:
            pattern, same_rows = TABLE[pattern, pattern_of(value)]
            if same_rows and not self.same_rows:
                return False
        return True

    def costs(self, readers: Mapping[Value, Sequence[Value]]) -> Costs:
        """
        Args:
            readers: of every value, `Graph.users`.
        """
        inside = {*self.of}
        gone = [value for value in self.of if value in self.results or inside.issuperset(readers.get(value, ()))]
        saved = sum(value.bytes for value in gone if value not in self.results)
        parts = [flops(value) for value in self.of]
        block_flops = flops(self.block)
        return Costs(
            saved_bytes=saved,
            enlargement=block_flops / max(parts) if any(parts) else 1.0,
            extra_flops=block_flops - sum(flops(value) for value in gone),
        )


def pattern_of(value: Value) -> Pattern:
    """The access pattern of an operator or a block; what computes elements apart is one-to-one."""
    return OTHER_PATTERNS.get(value.operator, Pattern.ONE_TO_ONE)


def propose(
    operator: str,
    inputs: Iterable[Value],
    of: Iterable[Value],
    result: Value,
    law: str,
    readers: Mapping[Value, Sequence[Value]],
    *,
    results: Sequence[Value] = (),
    same_rows: bool = False,
    **attributes: Any,
) -> Value | None:
    """The block, as `compiler.graph.fuse` makes it, if its law or pattern allows it and the costs say that it is worth it.

    Args:
        results: those of `of` that are still written, where it is not `result` alone.
    """
    replaced = list(dict.fromkeys(of))
    block = fuse(operator, inputs, replaced, result, law, **attributes)
    candidate = Candidate(block, replaced, results or (result,), law, same_rows)
    return block if candidate.allowed() and candidate.costs(readers).worthwhile else None
