"""One model for several sequence lengths: the right answer at each, over one copy of the weights, and nothing allocated."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler import isa, zig
from compiler.build import build
from compiler.measure import measure
from compiler.session import LIBRARY, Session
from data.errors import CompileError, MeasureError

LENGTHS = [13, 24, 40]  # 13 is no multiple of the kernels' rows
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def request_(request_of):
    """Sentences of 2 to 40 tokens."""
    return replace(request_of(seq_len=40, count=40, hidden_size=128, ffn_sizes=(256, 192)), tolerance=1e-4)


@pytest.fixture(scope="module")
def several(request_, tmp_path_factory):
    return build(replace(request_, seq_lens=(24, 13)), tmp_path_factory.mktemp("built") / "model")


@pytest.fixture(scope="module")
def samples(request_):
    with np.load(request_.samples) as arrays:
        return tuple(arrays[name] for name in ("input_ids", "token_type_ids", "attention_mask", "expected"))


def bench(folder: Path, *words: object) -> subprocess.CompletedProcess:
    command = [folder / "bench", "--weights", folder / "weights.bin", "--runs", "5", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_lengths_are_on_record(several):
    assert several.seq_lens == LENGTHS
    plan = json.loads((several.folder / "plan.json").read_text())
    assert plan["seq_len"] == 40
    assert [program["seq_len"] for program in plan["programs"]] == LENGTHS
    flops = [program["flops"] for program in plan["programs"]]
    assert flops == sorted(flops)
    assert plan["flops"] == flops[-1]
    assert plan["arena_bytes"] == max(program["arena_bytes"] for program in plan["programs"])
    assert {len(program["calls"]) for program in plan["programs"]} == {several.kernels}
    assert any(call["shared"] for call in plan["calls"])


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_every_sentence_gets_torchs_answer_from_every_length_that_holds_it(several, samples, threads):
    *inputs, expected = samples
    tokens = inputs[-1].sum(axis=1)
    assert {2, 12, 13, 14, 23, 24, 25, 39, 40} <= set(tokens)
    with Session(several.folder, threads) as session:
        assert list(session.seq_lens) == LENGTHS
        np.testing.assert_allclose(session.run(*inputs), expected, atol=1e-4)
        for length in (*LENGTHS, 5, 30):
            fits = tokens <= length
            answers = session.run(*(item[fits, :length] for item in inputs), trim=False)
            np.testing.assert_allclose(answers, expected[fits], atol=1e-4)
        for row in np.random.default_rng(0).permutation(len(expected)):  # one length after another over the same memory
            one = session.run(*(item[row : row + 1, : tokens[row]] for item in inputs))
            np.testing.assert_allclose(one[0], expected[row], atol=1e-4)


def test_a_sentence_of_padding_alone_takes_the_length_it_is_given_in(several):
    masked = [np.ones((1, 40), int), np.zeros((1, 40), int), np.zeros((1, 40), int)]
    with Session(several.folder) as session:
        np.testing.assert_array_equal(session.run(*masked), session.run(*masked, trim=False))


def test_weights_are_held_once(several, request_, tmp_path):
    one = build(request_, tmp_path / "one")
    assert one.seq_lens == [40]
    assert one.kernels_compiled == 0  # the longest length's kernels are the same
    sizes = [(folder / "weights.bin").stat().st_size for folder in (one.folder, several.folder)]
    assert sizes[1] <= 1.01 * sizes[0]


@pytest.mark.parametrize(("tokens", "length"), [(1, 13), (13, 13), (14, 24), (24, 24), (25, 40), (40, 40)])
def test_the_shortest_length_that_fits_is_taken(several, tokens, length):
    facts = json.loads(bench(several.folder, "--tokens", tokens).stdout)
    assert (facts["tokens"], facts["seq_len"]) == (tokens, length)
    with Session(several.folder) as session:
        assert session.length_for(tokens) == length


def test_a_sentence_that_is_too_long(several, monkeypatch):
    done = bench(several.folder, "--tokens", 41)
    assert done.returncode == 1
    assert done.stderr == "--tokens 41: this model takes at most 40\n"
    monkeypatch.setattr("compiler.measure.PAUSES_S", (0.0,))
    with pytest.raises(MeasureError, match="takes at most 40"):
        measure(several.folder, tokens=41)
    with Session(several.folder) as session, pytest.raises(CompileError, match="S from 1 to 40 tokens"):
        session.run(*[np.ones((1, 41), int)] * 3)


def test_latency_is_of_the_length_that_a_sentence_takes(several, monkeypatch):
    monkeypatch.setattr("compiler.measure.UNSTABLE_SPREAD", float("inf"))
    programs = json.loads((several.folder / "plan.json").read_text())["programs"]
    for tokens, program in zip((13, 14, 40), programs, strict=True):
        latency = measure(several.folder, threads=1, runs=10, tokens=tokens)
        assert latency.gflops == pytest.approx(program["flops"] / latency.median_ms / 1e6)


def test_nothing_is_allocated_while_a_model_runs(several, tmp_path):
    program = tmp_path / "allocations"
    zig.link_native([HERE / "allocations.c", several.folder / LIBRARY], program)
    for threads in ("1", "3"):
        words = [program, several.folder / "weights.bin", threads, *map(str, LENGTHS), "1", "20"]
        counted = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        assert counted["loading"] > 0
        assert counted["running"] == counted["failed"] == 0
        assert counted["empty"] == "a sentence of 0 tokens; this model takes 1 to 40"
        assert counted["too_long"] == "a sentence of 41 tokens; this model takes 1 to 40"


def test_a_library_of_one_length_from_before_still_runs(several, samples, tmp_path):
    folder = shutil.copytree(several.folder, tmp_path / "old")
    (folder / LIBRARY).rename(folder / "several.so")
    zig.link_shared([HERE / "one_length.c", Path("-ldl")], folder / LIBRARY, isa.host())
    *inputs, expected = samples
    with Session(folder) as session:
        assert session.seq_lens == (40,)
        np.testing.assert_allclose(session.run(*inputs), expected, atol=1e-4)
        short = inputs[-1].sum(axis=1) <= 20
        np.testing.assert_allclose(session.run(*(item[short, :20] for item in inputs)), expected[short], atol=1e-4)


def test_a_length_without_a_sentence_to_check_it_is_refused(request_of, tmp_path):
    with pytest.raises(CompileError, match="no sample of up to 3 tokens"):
        build(replace(request_of(), seq_lens=(3,)), tmp_path / "model")
