"""What the kernel cache, the instruction set's description and the memory plan promise."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler import cache, isa
from compiler.kernels import Kernel, compile_kernels
from compiler.plan import Weights
from compiler.schedules.linear import MOST_CANDIDATES, Linear, Tile, pack, pad, row_tiles
from compiler.sharing import shared
from compiler.tuning import HERE
from data.errors import CompileError

HOST = isa.host()
SPEC = Linear(rows=128, depth=384, width=1536)


def test_a_key_changes_with_all_that_the_code_depends_on():
    keys = {
        cache.kernel_key(SPEC, HOST, 2),
        cache.kernel_key(SPEC, HOST, 1),
        cache.kernel_key(replace(SPEC, width=1540), HOST, 2),
        cache.kernel_key(SPEC, replace(HOST, lanes=HOST.lanes * 2), 2),
    }
    assert len(keys) == 4
    assert cache.kernel_key(Linear(128, 384, 1536), HOST, 2) in keys


def test_a_kept_kernel_is_found_whole(fresh_home, tmp_path):
    (tmp_path / "a.o").write_bytes(b"code")
    assert cache.find("key") is None
    cache.put("key", tmp_path / "a.o", {"symbol": "f"})
    cache.put("key", tmp_path / "a.o", {"symbol": "second"})
    found = cache.find("key")
    assert found is not None
    assert found.object.read_bytes() == b"code"
    assert found.facts["symbol"] == "f"


def test_a_damaged_entry_is_replaced(fresh_home, tmp_path):
    (tmp_path / "a.o").write_bytes(b"code")
    kept = cache.put("key", tmp_path / "a.o", {"symbol": "f"})
    (kept.object.parent / "facts.json").write_text("{")
    assert cache.find("key") is None
    cache.put("key", tmp_path / "a.o", {"symbol": "f"})
    assert cache.find("key") is not None


@pytest.mark.parametrize("spec", [SPEC, replace(SPEC, width=312, epsilon=1e-12), replace(SPEC, rows=40, width=77)])
def test_tiles_fit_the_registers_and_cover_the_matrix(spec):
    for tile in spec.tiles(HOST, 2):
        vectors = tile.panel // HOST.lanes
        assert tile.tile_rows * vectors + vectors + 1 <= HOST.registers
        assert tile.panel % HOST.lanes == 0
        assert spec.rows % tile.row_block == 0
        assert spec.depth % tile.depth_block == 0
        assert spec.panels(tile) * tile.panel >= spec.width
        assert spec.panels(tile) % tile.panels_per_task == 0
        if spec.epsilon is not None:
            assert tile.panels_per_task == spec.panels(tile)


@given(rows=st.integers(1, 200), tallest=st.integers(1, 14))
def test_register_tiles_cover_every_row_once(rows, tallest):
    covered = []
    for first, height, count in row_tiles(rows, tallest):
        assert 1 <= height <= tallest
        assert first == len(covered)
        covered += range(first, first + height * count)
    assert covered == list(range(rows))


@pytest.mark.parametrize("rows", [16, 24, 48, 80, 128])
def test_no_thread_is_idle_where_tasks_are_whole_rows(rows):
    layer = Linear(rows, 3072, 768, residual=True, epsilon=1e-12, panel=3 * HOST.lanes)
    assert all(layer.tasks(tile) % 2 == 0 for tile in layer.tiles(HOST, 2))


def test_packing_keeps_every_column_and_pads_with_zeros():
    weight = np.arange(15, dtype=np.float32).reshape(3, 5)
    packed = pack(weight, 4)
    assert packed.shape == (2, 3, 4)
    np.testing.assert_array_equal(packed.transpose(1, 0, 2).reshape(3, 8), np.pad(weight, ((0, 0), (0, 3))))
    np.testing.assert_array_equal(pad(np.ones(5, np.float32), 4), [1, 1, 1, 1, 1, 0, 0, 0])


def test_equal_weights_are_stored_once(tmp_path):
    weights = Weights()
    first = weights.add(np.ones(10, np.float32))
    second = weights.add(np.zeros(10, np.float32))
    assert weights.add(np.ones(10, np.float32)) == first
    assert first % 64 == second % 64 == 0
    weights.write(tmp_path / "weights.bin")
    stored = (tmp_path / "weights.bin").read_bytes()
    assert len(stored) == weights.size
    np.testing.assert_array_equal(np.frombuffer(stored, np.float32, 10, first), 1)


def test_cpu_flags():
    assert isa.cpu_flags("processor : 0\nflags\t\t: fpu avx2 fma\nflags : other\n") == {"fpu", "avx2", "fma"}
    assert isa.cpu_flags("") == set()


def test_cores_are_at_least_one():
    assert isa.cores() >= 1


def kernel_of(spec) -> Kernel:
    return Kernel(spec, Tile(1, HOST.lanes, spec.rows, 1, spec.depth), "symbol", Path("a.o"), 0, 0.0)


def test_small_kernels_and_small_models_stay_on_one_thread():
    large, small = kernel_of(SPEC), kernel_of(Linear(rows=8, depth=32, width=32))
    assert shared([small, large, small], HOST) == [False, True, False]
    assert shared([small] * 20, HOST) == [False] * 20
    medium = kernel_of(Linear(rows=16, depth=128, width=128))
    assert shared([medium], HOST) == [False]  # worth sharing among others, not worth waking anybody for
    assert shared([medium, large], HOST) == [True, True]
    one_task = replace(medium, tile=Tile(1, HOST.lanes, 16, 128 // HOST.lanes, 128))
    assert shared([one_task, large], HOST) == [False, True]


class Fatal:
    """A kernel whose compilation ends its process, as a crash of TVM does."""

    kind = "fatal"

    def tiles(self, isa, threads):
        return [1, 2]

    def build(self, tile, isa, symbol):
        os.kill(os.getpid(), signal.SIGKILL)  # a fault may find a handler of another library, such as OpenCL's


def test_a_crash_while_kernels_are_compiled_is_an_error_and_not_ours(fresh_home, monkeypatch):
    monkeypatch.setattr("compiler.kernels.cores", lambda: 2)
    monkeypatch.setattr("compiler.cache.kernel_key", lambda *_: "0" * 64)
    with pytest.raises(CompileError, match="the compiler crashed on a kernel"):
        compile_kernels([Fatal()], HOST, 2, lambda line: None, HERE)


def test_how_many_tiles_are_tried_may_be_said(monkeypatch):
    spec = Linear(16, 64, 52)  # of no other test
    for text, tried in (("1", 1), ("2", 2), ("", min(MOST_CANDIDATES, len(spec.tiles(HOST, 2))))):
        monkeypatch.setenv("POCKETFORMER_TILES", text)
        kernels, missing = compile_kernels([spec], HOST, 2, lambda line: None, HERE)
        assert missing == 1, "kernels that were tried with fewer tiles are others"
        assert len(json.loads(kernels[spec].object.with_name("facts.json").read_text())["tried"]) == tried
    monkeypatch.setenv("POCKETFORMER_TILES", "none")
    with pytest.raises(CompileError, match=r"POCKETFORMER_TILES is 'none'; give how many tiles to try"):
        compile_kernels([spec], HOST, 2, lambda line: None, HERE)
