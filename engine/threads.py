"""How torch's threads wait for each other. No torch here: this must be said before torch loads its OpenMP runtime."""

import os

SPINS = "20000"


def spin_briefly() -> None:
    """Let idle OpenMP threads sleep after about 0.1 ms instead of spinning for as long as they are used to.

    A search compiles beside training on the same cores. There, two threads that spin for each other starve: 150 to 400 tokens/s of
    distillation were seen, against about 2,000 on cores of their own. Spinning briefly costs 5 % on cores of their own (2,275 to
    2,160 tokens/s). What the user has set (GOMP_SPINCOUNT, OMP_WAIT_POLICY) stands.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
