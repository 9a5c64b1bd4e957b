"""Which kernels are worth more than one thread. Rounds taken by another core cost about a microsecond of waiting, even where that core
spins for them; waking it costs tens. A kernel below that runs on the calling thread alone, and so does a whole model that is over
before anybody is awake."""

from collections.abc import Sequence
from math import prod

from compiler.isa import Isa
from compiler.kernels import Kernel

LEAST_KERNEL_CYCLES = 10_000  # of one core: a few microseconds
LEAST_PROGRAM_CYCLES = 100_000
PASSES = 8  # over the numbers that a kernel writes: loads, sums, LayerNorm


def shared(kernels: Sequence[Kernel], isa: Isa) -> list[bool]:
    """Whether each kernel of a program is shared among threads."""
    estimates = [cycles(kernel, isa) for kernel in kernels]
    if sum(estimates) < LEAST_PROGRAM_CYCLES:
        return [False] * len(kernels)
    return [
        estimate >= LEAST_KERNEL_CYCLES and kernel.spec.tasks(kernel.tile) > 1
        for kernel, estimate in zip(kernels, estimates, strict=True)
    ]


def cycles(kernel: Kernel, isa: Isa) -> float:
    """Of one core: arithmetic at half its peak, and the numbers written."""
    _, shape, _ = kernel.spec.parameters(kernel.tile)[-1]
    return kernel.spec.flops / (isa.lanes * isa.fma_per_cycle) + PASSES * prod(shape) / isa.lanes
