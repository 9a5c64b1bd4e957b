import re
from pathlib import Path

import pytest

from compiler.isa import host
from compiler.peak import SOURCE, peak_gflops
from compiler.zig import link_native

CHAINS = {8: 12, 16: 24}  # by a vector's lanes, as the source counts them


def test_no_multiply_add_that_is_counted_is_left_out_by_the_c_compiler(tmp_path: Path) -> None:
    lanes = host().lanes
    if lanes not in CHAINS:
        pytest.skip("this processor has no fused multiply-add")
    link_native([SOURCE], tmp_path / "peak.s", "-S")
    assembly = (tmp_path / "peak.s").read_text()
    assert f"LANES = {lanes}, CHAINS = {CHAINS[lanes]}" in SOURCE.read_text()
    assert len(re.findall(r"\bvfmadd\d+ps\b", assembly)) == CHAINS[lanes]


def test_two_threads_are_counted_together() -> None:
    assert 0 < peak_gflops(1) < peak_gflops(2) < 3 * peak_gflops(1)
