"""Arm cores, as far as compiling for them and predicting their speed cares.

Features are named as /proc/cpuinfo names them; what a vendor may leave out (dot products on a Cortex-A55 or A75) is taken as there, as
all phones of the catalogue have it. Vector units of the Cortex-A76, A77 and A78 are as https://en.wikichip.org/wiki/flops has them, the A72's
as measured (7.9 FLOP a cycle: https://wlog.flatlib.jp/2015/10/30/n1787/), first-level caches of the A55 and A76 as on
https://en.wikichip.org/wiki/hisilicon/kirin/980. The others are the usual figures, and have not been checked against Arm's software
optimization guides (https://developer.arm.com/documentation): predictions are to be calibrated.
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
    "cortex-a510": Cpu(
        V9_0, 1, 32
    ),  # shared by two cores: https://en.wikichip.org/wiki/arm_holdings/microarchitectures/cortex-a510
    "cortex-a520": Cpu(V9_0, 1, 32),
    "cortex-a72": Cpu(V8_0, 1, 32),
    "cortex-a73": Cpu(
        V8_0, 1, 64
    ),  # a little low: whole models were measured at 8.2 FLOP a cycle of its 2.36 GHz (BERTPerf, TFLite)
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
