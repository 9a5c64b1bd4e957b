"""Arm cores, as far as compiling for them and predicting their speed cares.

Features are named as /proc/cpuinfo names them; what a vendor may leave out (dot products on a Cortex-A55 or A75) is taken as there, as
all phones of the catalogue have it. Vector units and caches are the usual figures, and have been neither measured nor checked against Arm's
software optimization guides (https://developer.arm.com/documentation): predictions are to be calibrated.
"""

from dataclasses import dataclass

V8_0: frozenset[str] = frozenset()
V8_2 = V8_0 | {"asimdhp", "asimddp"}
V9_0 = V8_2 | {"i8mm"}


@dataclass(frozen=True)
class Cpu:
    """`fma_per_cycle`: 128-bit multiply-adds that a core starts each cycle. `l1_kb`: its data cache, at the usual size."""

    features: frozenset[str]
    fma_per_cycle: float
    l1_kb: int


CPUS = {
    "cortex-a53": Cpu(V8_0, 1, 32),
    "cortex-a55": Cpu(V8_2, 1, 32),
    "cortex-a510": Cpu(V9_0, 1, 32),  # two cores share two
    "cortex-a520": Cpu(V9_0, 1, 32),
    "cortex-a72": Cpu(V8_0, 1, 32),
    "cortex-a73": Cpu(V8_0, 1, 64),
    "cortex-a75": Cpu(V8_2, 2, 64),
    "cortex-a76": Cpu(V8_2, 2, 64),
    "cortex-a77": Cpu(V8_2, 2, 64),
    "cortex-a78": Cpu(V8_2, 2, 64),
    "cortex-x1": Cpu(V8_2, 4, 64),
    "cortex-a710": Cpu(V9_0, 2, 64),
    "cortex-a715": Cpu(V9_0, 2, 64),
    "cortex-a720": Cpu(V9_0, 2, 64),
    "cortex-x2": Cpu(V9_0, 4, 64),
    "cortex-x3": Cpu(V9_0, 4, 64),
    "cortex-x4": Cpu(V9_0, 4, 64),
    "oryon": Cpu(V9_0, 4, 96),
}
