"""Models for phones: what is linked, and their answers on emulated processors that have dot products and that lack them."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from needs import need_folder, need_program

from compiler import zig
from compiler.arm import aarch64
from compiler.build import build
from compiler.check import Samples, allowed
from compiler.emulation import EMULATOR, PACKAGE, EmulatedModel, write_sentences
from compiler.precisions import PRECISIONS
from data.errors import CompileError

CPUS = ("cortex-a72", "cortex-a76", "max")
INSTRUCTIONS = {"fp32": ("neon",) * 3, "fp16": ("neon", "fp16", "fp16"), "int8": ("neon", "dotprod", "dotprod-i8mm")}
SIZES = {"hidden_size": 64, "heads": 4, "ffn_sizes": (128, 104, 100)}  # some fill no vectors of words, or of float16
SEQ_LENS = (16, 32)
LIBC = "/usr/aarch64-linux-gnu"  # Debian: libc6-arm64-cross
LOADER = Path(__file__).parent / "loads_library.c"


@pytest.fixture(scope="module", params=PRECISIONS)
def phone_model(request, request_of, tmp_path_factory):
    """(samples, precision, what `build` says) of a model for a phone."""
    exported = request_of(seq_len=SEQ_LENS[-1], count=6, **SIZES)
    folder = tmp_path_factory.mktemp("phone") / "model"
    return (
        Samples.read(exported.samples),
        request.param,
        build(replace(exported, device="galaxy-s20", precision=request.param, seq_lens=SEQ_LENS[:1]), folder),
    )


def emulated(built, cpu) -> EmulatedModel:
    facts = json.loads((built.folder / "plan.json").read_text())
    return EmulatedModel(built.folder, {each["seq_len"]: each["flops"] for each in facts["programs"]}, facts["outputs"], cpu)


@pytest.mark.parametrize("cpu", CPUS)
def test_answers_equal_torch_on_every_kind_of_processor(phone_model, cpu):
    need_program(EMULATOR, PACKAGE)
    samples, precision, built = phone_model
    tolerance = 1e-4 if precision == "fp32" else allowed(precision, samples)
    model = emulated(built, cpu)
    assert model.seq_lens == SEQ_LENS
    for seq_len in SEQ_LENS:
        fits = samples.tokens <= seq_len
        assert fits.any()
        answers = model.run(*(item[fits, :seq_len] for item in samples.inputs))
        np.testing.assert_allclose(answers, samples.expected[fits], atol=tolerance)


def test_dot_products_and_their_substitute_give_the_same_sums(phone_model):
    """Sums of integers are exact, so the last digit of what is scaled is all that may differ."""
    need_program(EMULATOR, PACKAGE)
    samples, precision, built = phone_model
    if precision == "fp16":
        return  # sums of float16 differ from sums of float32: each is held against torch
    answers = [emulated(built, cpu).run(*samples.inputs) for cpu in CPUS]
    for others in answers[1:]:
        np.testing.assert_allclose(others, answers[0], atol=1e-5)


@pytest.mark.parametrize("cpu", CPUS)
def test_instructions_are_not_entered_where_a_processor_lacks_them(phone_model, cpu):
    need_program(EMULATOR, PACKAGE)
    _, precision, built = phone_model
    words = [built.folder / "bench", "--weights", built.folder / "weights.bin", "--runs", "1", "--warmup", "0"]
    done = subprocess.run([EMULATOR, "-cpu", cpu, *map(str, words)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["instructions"] == INSTRUCTIONS[precision][CPUS.index(cpu)]


def test_the_build_has_compared_answers_under_emulation(phone_model):
    need_program(EMULATOR, PACKAGE)
    _, precision, built = phone_model
    assert built.max_abs_error is not None
    assert 0 < built.max_abs_error < (1e-4 if precision == "fp32" else 1.0)


def test_without_an_emulator_answers_are_not_checked(request_of, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    said: list[str] = []
    built = build(replace(request_of(**SIZES), device="raspberry-pi-5"), tmp_path / "model", log=said.append)
    assert built.max_abs_error is None
    assert any(f"install the package {PACKAGE}" in line for line in said)


def test_the_library_is_one_that_android_loads(phone_model):
    """16 KiB pages, libc and nothing else, and only our names to the outside."""
    with (phone_model[2].folder / "model.so").open("rb") as file:
        elf = ELFFile(file)
        assert elf.get_machine_arch() == "AArch64"
        assert all(part["p_align"] >= 16384 for part in elf.iter_segments() if part["p_type"] == "PT_LOAD")
        tags = {tag.entry.d_tag: tag for tag in elf.get_section_by_name(".dynamic").iter_tags()}
        assert tags["DT_SONAME"].soname == "libpocketformer.so"
        needed = [tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags() if tag.entry.d_tag == "DT_NEEDED"]
        assert needed == ["libc.so"]
        symbols = list(elf.get_section_by_name(".dynsym").iter_symbols())
    wanted = {each.name for each in symbols if each["st_shndx"] == "SHN_UNDEF" and each.name}
    assert wanted <= BIONIC, wanted - BIONIC
    offered = {each.name for each in symbols if each["st_shndx"] != "SHN_UNDEF"}
    assert "pf_run" in offered


# of Android's libc since Android 10: https://android.googlesource.com/platform/bionic/+/refs/heads/main/libc/libc.map.txt
BIONIC = {"abort", "aligned_alloc", "calloc", "clock_gettime", "close", "fstat", "free", "getauxval", "malloc", "memcmp", "memcpy", "memmove", "memset",
          "mmap", "munmap", "open", "pthread_attr_destroy", "pthread_attr_init", "pthread_attr_setstacksize", "pthread_create",
          "pthread_join", "sched_setaffinity", "sched_yield", "snprintf", "strlen", "strncmp", "syscall", "vsnprintf", "realloc"}  # fmt: skip


def test_the_library_answers_when_a_program_loads_it(phone_model, tmp_path):
    """Another libc stands in for Android's, by Android's name."""
    need_program(EMULATOR, PACKAGE)
    root = need_folder(LIBC, "libc6-arm64-cross")
    samples, precision, built = phone_model
    isa = aarch64(set(), "linux")
    program = tmp_path / "loads_library"
    zig.link_program([LOADER], program, isa)
    shutil.copy(built.folder / "model.so", tmp_path / "libpocketformer.so")
    (tmp_path / "libc.so").symlink_to(root / "lib" / "libc.so.6")
    write_sentences(tmp_path / "inputs", *(item[:3] for item in samples.inputs))
    words = [program, tmp_path / "libpocketformer.so", built.folder / "weights.bin", tmp_path / "inputs"]
    command = [EMULATOR, "-cpu", "cortex-a76", "-L", root, "-E", f"LD_LIBRARY_PATH={tmp_path}", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = np.array(done.stdout.split(), np.float32).reshape(3, -1)
    np.testing.assert_allclose(answers, samples.expected[:3], atol=1e-4 if precision == "fp32" else allowed(precision, samples))


def test_two_builds_are_equal_byte_for_byte(phone_model, request_of, tmp_path):
    _, precision, built = phone_model
    exported = request_of(seq_len=SEQ_LENS[-1], count=6, **SIZES)
    again = build(replace(exported, device="galaxy-s20", precision=precision, seq_lens=SEQ_LENS[:1]), tmp_path / "again")
    for name in ("model.so", "bench", "weights.bin", "plan.json"):
        assert (built.folder / name).read_bytes() == (again.folder / name).read_bytes(), name


def test_an_emulated_failure_is_one_line(phone_model, tmp_path):
    need_program(EMULATOR, PACKAGE)
    samples, _, built = phone_model
    odd = tmp_path / "odd"
    shutil.copytree(built.folder, odd)
    (odd / "weights.bin").write_bytes(b"short")
    with pytest.raises(CompileError, match=r"the emulated model failed on max: weights file .* has 5 bytes"):
        emulated(replace(built, folder=odd), "max").run(*samples.inputs)
