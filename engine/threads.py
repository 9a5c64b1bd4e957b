"""How torch's threads wait for each other. No torch here: this must be said before torch loads its OpenMP runtime."""

import os

SPINS = "0"


def sleep_when_idle() -> None:
    """Let idle OpenMP threads sleep at once instead of spinning for as long as they are used to.

    A search compiles beside training on the same cores. There, threads that spin for each other starve. Fine-tuning on two threads, beside
    one program that takes a core, on two AVX2 cores: 404 tokens/s as they are used to, 1,114 with 20,000 spins (0.1 ms), 1,856 with none; beside
    two programs 263, 1,019 and 1,748 (one run each). On cores of their own, 20,000 spins cost 5 %; what none cost there has not been measured. What the user
    has set (GOMP_SPINCOUNT, OMP_WAIT_POLICY) stands.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
