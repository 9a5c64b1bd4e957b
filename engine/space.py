"""The architectures a search may propose, in CANAO's two phases (section 3.3): first the depth, then the sizes at that depth; or, as
phase 0, all at once.

Widths follow the teacher, whose weights a student inherits: its head width, at most its hidden size, shares of its FFN size.
A student narrower than its teacher keeps the teacher's embeddings and projects them (`Architecture.embedding_size`).
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from data.errors import UsageError
from engine.architecture import Architecture

SMALLEST_HIDDEN_SIZE = 256  # accuracy drops below it (CANAO section 3.3)
SIZE_STEP = 64  # the kernels' tiles; also the head width of BERT
DEPTHS_ONE_BY_ONE = 6  # deeper than this, every second depth is offered
AT_ONCE = 0  # the phase that decides on everything
FFN_QUARTERS = (1, 2, 3)  # of the teacher's FFN size, beside the whole


@dataclass(frozen=True)
class Decision:
    """One choice of the policy: `kind` is depth, hidden or ffn; `options` are its values, ascending."""

    kind: str
    options: tuple[int, ...]


@dataclass(frozen=True)
class SearchSpace:
    """What may be proposed. All tuples ascend."""

    teacher: Architecture
    depths: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    ffn_sizes: tuple[int, ...]

    @classmethod
    def for_teacher(
        cls,
        teacher: Architecture,
        depths: Sequence[int] = (),
        hidden_sizes: Sequence[int] = (),
        ffn_sizes: Sequence[int] = (),
    ) -> "SearchSpace":
        """The space of one teacher; what is given replaces what would be derived.

        Raises:
            UsageError: a given size that no student of this teacher can inherit.
        """
        teacher_ffn = max(teacher.ffn_sizes)
        _check_at_most("depths", depths, teacher.layers, "layers")
        _check_at_most("hidden_sizes", hidden_sizes, teacher.hidden_size, "hidden size")
        _check_at_most("ffn_sizes", ffn_sizes, teacher_ffn, "FFN size")
        for size in hidden_sizes:
            if size % teacher.head_size:
                raise UsageError(f"hidden size {size} is not a multiple of the teacher's head width {teacher.head_size}")
        derived_hidden = {teacher.hidden_size} | {
            size for size in range(SMALLEST_HIDDEN_SIZE, teacher.hidden_size, SIZE_STEP) if size % teacher.head_size == 0
        }
        derived_ffn = {teacher_ffn} | {
            max(SIZE_STEP, quarters * teacher_ffn // 4 // SIZE_STEP * SIZE_STEP) for quarters in FFN_QUARTERS
        }
        derived_depths = {teacher.layers} | {
            depth for depth in range(1, teacher.layers) if depth <= DEPTHS_ONE_BY_ONE or depth % 2 == 0
        }
        return cls(
            teacher,
            tuple(sorted(set(depths) or derived_depths)),
            tuple(sorted(set(hidden_sizes) or derived_hidden)),
            tuple(sorted(size for size in set(ffn_sizes) or derived_ffn if size <= teacher_ffn)),
        )

    @property
    def reference_ffn_size(self) -> int:
        """The FFN size of phase 1: the smallest, so that depth is what latency is spent on (CANAO section 3.2: of two models with the
        same FLOPs the deeper one is better). The hidden size of phase 1 is the teacher's, as a cut in width costs most."""
        return self.ffn_sizes[0]

    def vocabulary(self) -> dict[str, int]:
        """The number of options of each kind of decision."""
        return {"depth": len(self.depths), "hidden": len(self.hidden_sizes), "ffn": len(self.ffn_sizes)}

    def decisions(self, phase: int, depth: int | None = None) -> tuple[Decision, ...]:
        """What is decided for one candidate: phase 1 its depth; phase 2 its hidden size, then each layer's FFN size; phase 0 depth, hidden
        size, and FFN sizes for the most layers that there are, of which a candidate with fewer takes the first."""
        if phase == AT_ONCE:
            sizes = (Decision("ffn", self.ffn_sizes) for _ in range(self.depths[-1]))
            return (Decision("depth", self.depths), Decision("hidden", self.hidden_sizes), *sizes)
        if phase == 1:
            return (Decision("depth", self.depths),)
        if depth is None:
            raise ValueError("phase 2 needs the depth that phase 1 has found")
        return (Decision("hidden", self.hidden_sizes), *(Decision("ffn", self.ffn_sizes) for _ in range(depth)))

    def architecture(self, phase: int, choices: Sequence[int]) -> Architecture:
        """The candidate of `choices`: for each of `decisions(phase, …)` the index of its option."""
        if phase == AT_ONCE:
            depth, hidden, *sizes = choices
            return self.sized(
                self.hidden_sizes[hidden], tuple(self.ffn_sizes[choice] for choice in sizes[: self.depths[depth]])
            )
        if phase == 1:
            return self.sized(self.hidden_sizes[-1], (self.reference_ffn_size,) * self.depths[choices[0]])
        return self.sized(self.hidden_sizes[choices[0]], tuple(self.ffn_sizes[choice] for choice in choices[1:]))

    def drawn(self, random: Random) -> Architecture:
        """One architecture by chance: depth, hidden size and each layer's FFN size, every option as likely as the others."""
        depth = random.choice(self.depths)
        return self.sized(random.choice(self.hidden_sizes), tuple(random.choice(self.ffn_sizes) for _ in range(depth)))

    def check(self, architecture: Architecture) -> None:
        """
        Raises:
            UsageError: no student of the teacher can have these sizes; the message says which it could.
        """
        teacher, name = self.teacher, "architecture"
        _check_at_most(name, (architecture.layers,), teacher.layers, "number of layers")
        _check_at_most(name, (architecture.hidden_size,), teacher.hidden_size, "hidden size")
        _check_at_most(name, architecture.ffn_sizes, max(teacher.ffn_sizes), "FFN size")
        if architecture.hidden_size % teacher.head_size:
            raise UsageError(
                f"hidden size {architecture.hidden_size} is not a multiple of the teacher's head width {teacher.head_size}"
            )
        known = self.sized(architecture.hidden_size, architecture.ffn_sizes)
        if str(known) != str(architecture):
            raise UsageError(f"{architecture} is no student of {teacher}; write {known}")

    def smallest_choices(self, phase: int, depth: int | None = None) -> tuple[int, ...]:
        return (0,) * len(self.decisions(phase, depth))

    def ascending(
        self, phase: int, depth: int | None, acceptable: Callable[[Architecture], bool]
    ) -> Iterator[tuple[tuple[int, ...], Architecture]]:
        """Every acceptable candidate of a phase, from small to large, where larger FFN sizes never mend an unacceptable one.

        Costs one `acceptable` call for each candidate and each of its next larger ones, so that the first few of a space of
        millions are cheap, and an exhausted space is known as such.
        """
        decisions = self.decisions(phase, depth)
        bodies = list(itertools.product(*(range(len(each.options)) for each in decisions if each.kind != "ffn")))
        for body in bodies:
            sized = (
                len(body) + self.depths[body[0]] if phase == AT_ONCE else len(decisions)
            )  # beyond are layers that it has not
            waiting = deque([body + (0,) * (len(decisions) - len(body))])
            met = set(waiting)
            while waiting:
                choices = waiting.popleft()
                architecture = self.architecture(phase, choices)
                if not acceptable(architecture):
                    continue
                yield choices, architecture
                for position in range(len(body), sized):
                    larger = (*choices[:position], choices[position] + 1, *choices[position + 1 :])
                    if larger[position] < len(decisions[position].options) and larger not in met:
                        met.add(larger)
                        waiting.append(larger)

    def sized(self, hidden_size: int, ffn_sizes: tuple[int, ...]) -> Architecture:
        """The teacher's student with these sizes, whether or not they are among the options."""
        width = self.teacher.embedding_size or self.teacher.hidden_size
        return replace(
            self.teacher,
            hidden_size=hidden_size,
            heads=hidden_size // self.teacher.head_size,
            ffn_sizes=ffn_sizes,
            embedding_size=0 if width == hidden_size else width,
        )


def phase_one_trials(trials: int, share: float) -> int:
    """How many of `trials` look for the depth: a share of them, at least one."""
    return max(1, int(trials * share))


def _check_at_most(name: str, sizes: Sequence[int], largest: int, what: str) -> None:
    if sizes and max(sizes) > largest:
        raise UsageError(
            f"{name} up to {max(sizes)}, but the teacher's {what} is {largest}; a student is no larger than its teacher"
        )
