"""Models compiled for a GPU too: their answers there, `bench --gpu`, and what happens where there is none."""

import json
import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from gpu_models import opencl, plan_of, rows_from, write
from needs import need_folder, need_program
from programs import weights
from test_cross import BIONIC

from compiler import isa, zig
from compiler.arm import levels
from compiler.build import build
from compiler.check import Samples
from compiler.emulation import EMULATOR, PACKAGE
from compiler.graph import Graph, Value
from compiler.precisions import FP32
from compiler.session import Session
from data.errors import CompileError, UsageError

SEQ_LENS = (16, 32)
NOWHERE = "/nowhere/libOpenCL.so"
NO_OPENCL = "this device has no OpenCL library that may be opened"


@pytest.fixture(scope="module")
def model(request_of, tmp_path_factory):
    """(samples, folder) of one with GPU code."""
    request = request_of(seq_len=SEQ_LENS[-1], count=6, hidden_size=72, heads=3, ffn_sizes=(100, 128), outputs=3)
    built = build(replace(request, gpu=True, seq_lens=SEQ_LENS[:1]), tmp_path_factory.mktemp("gpu") / "model")
    return Samples.read(request.samples), built.folder


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    with opencl(tmp_path_factory.mktemp("pocl")):
        yield


def bench(folder, *words, **environment):
    command = [folder / "bench", "--weights", folder / "weights.bin", "--runs", "2", "--warmup", "0", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1e-5), ("fp16", 1e-2)])
def test_answers_equal_torch(device, model, precision, share):
    samples, folder = model
    with Session(folder) as session:
        assert session.use_gpu(precision).endswith(f", {precision}")
        for seq_len in SEQ_LENS:
            fits = samples.tokens <= seq_len
            assert fits.any()
            answers = session.run(*(item[fits, :seq_len] for item in samples.inputs))
            np.testing.assert_allclose(answers, samples.expected[fits], atol=share * np.abs(samples.expected).max())


def test_bench_runs_on_the_gpu(device, model):
    _, folder = model
    assert bench(folder, "--gpu")[0]["instructions"].endswith(", fp32")
    assert bench(folder, "--gpu", "fp16", "--tokens", "5")[0]["instructions"].endswith(", fp16")


def test_the_cpu_answers_where_there_is_no_opencl(model, monkeypatch):
    samples, folder = model
    monkeypatch.setenv("POCKETFORMER_OPENCL", NOWHERE)
    with Session(folder) as session:
        expected = session.run(*samples.inputs)
        with pytest.raises(CompileError, match=NO_OPENCL):
            session.use_gpu("fp16")
        np.testing.assert_array_equal(session.run(*samples.inputs), expected)
    facts, said = bench(folder, "--gpu", "--profile")
    assert facts["instructions"] == bench(folder)[0]["instructions"]
    assert len(facts["calls_us"]) == len(json.loads((folder / "plan.json").read_text())["calls"])
    assert said == f"the CPU runs it: {NO_OPENCL}\n"


def test_a_processor_is_no_gpu(device, model, monkeypatch):
    monkeypatch.delenv("POCKETFORMER_OPENCL_DEVICE")
    with Session(model[1]) as session, pytest.raises(CompileError, match="OpenCL finds no GPU here"):
        session.use_gpu()


PIXEL = """
#include <dlfcn.h>
static void *library;
void enableOpenCL(void) { library = dlopen("libOpenCL.so.1", RTLD_NOW); }
void *loadOpenCLPointer(const char *name) { return dlsym(library, name); }
"""


def test_a_library_that_has_to_be_enabled(device, model, tmp_path, monkeypatch):
    """As on Google's phones."""
    samples, folder = model
    (tmp_path / "pixel.c").write_text(PIXEL)
    zig.link_shared([tmp_path / "pixel.c"], tmp_path / "libOpenCL-pixel.so", isa.host(), opens_libraries=True)
    monkeypatch.setenv("POCKETFORMER_OPENCL", str(tmp_path / "libOpenCL-pixel.so"))
    with Session(folder) as session:
        session.use_gpu()
        answers = session.run(*samples.inputs)
    np.testing.assert_allclose(answers, samples.expected, atol=1e-5 * np.abs(samples.expected).max())


def test_an_unknown_precision(model):
    with Session(model[1]) as session, pytest.raises(CompileError, match="unknown precision 'int8' for the GPU"):
        session.use_gpu("int8")


def test_a_model_without_code_for_gpus_says_so(compiled):
    assert not (compiled / "bench-gpu").exists()
    with Session(compiled) as session, pytest.raises(CompileError, match="no code for GPUs: compile it with --gpu"):
        session.use_gpu()
    assert bench(compiled, "--gpu")[1] == f"the CPU runs it: {compiled}/bench-gpu does not start here; compile --gpu makes it\n"


def test_code_for_gpus_goes_with_fp32(request_of, tmp_path):
    with pytest.raises(UsageError, match="code for GPUs goes with precision fp32, not int8"):
        build(replace(request_of(), precision="int8", gpu=True), tmp_path / "model")


STANDS_IN = """
#include <stdlib.h>
void __libc_init(char **stack, void *unused, int (*main)(int, char **, char **), const void *all) {
    exit(main((int)(long)stack[0], stack + 1, 0));
}
"""


def needed(elf):
    return [tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags() if tag.entry.d_tag == "DT_NEEDED"]


def test_the_program_for_phones_opens_libraries(tmp_path):
    """Another libc stands in for Android's; where a phone has no OpenCL, it says so and goes on."""
    need_program(EMULATOR, PACKAGE)
    root = need_folder("/usr/aarch64-linux-gnu", "libc6-arm64-cross")
    phone = levels(FP32)[-1]
    inputs, x = rows_from(weights(8, 8), 8)
    graph = Graph(inputs, Value("linear", (x, weights(8, 8), weights(8)), (8, 8)))
    program, library, libraries = tmp_path / "bench-gpu", tmp_path / "libpocketformer.so", tmp_path / "lib"
    sources = write(plan_of(graph, phone), tmp_path)
    zig.link_program([zig.RUNTIME / "bench.c", *sources], program, phone)
    zig.link_shared(sources, library, phone, opens_libraries=True)
    for path in (program, library):
        with path.open("rb") as file:
            assert needed(ELFFile(file)) == ["libc.so", "libdl.so"]
    with library.open("rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".dynsym").iter_symbols())
    wanted = {each.name for each in symbols if each["st_shndx"] == "SHN_UNDEF" and each.name}
    assert wanted <= BIONIC | {"dlclose", "dlopen", "dlsym", "getenv", "strcmp", "strcspn", "strstr"}, wanted
    with program.open("rb") as file:
        elf = ELFFile(file)
        segments = {part["p_type"]: part for part in elf.iter_segments()}
        assert segments["PT_INTERP"].get_interp_name() == "/system/bin/linker64"
        assert segments["PT_TLS"]["p_align"] >= 64
        assert all(part["p_align"] >= 16384 for part in elf.iter_segments() if part["p_type"] == "PT_LOAD")
    libraries.mkdir()
    (tmp_path / "libc.c").write_text(STANDS_IN)
    zig.link_shared([tmp_path / "libc.c"], libraries / "libc.so", levels(FP32, "linux")[-1])
    (libraries / "libdl.so").symlink_to(root / "lib" / "libdl.so.2")
    loader = [root / "lib" / "ld-linux-aarch64.so.1", "--library-path", f"{libraries}:{root / 'lib'}"]
    words = [program, "--weights", tmp_path / "weights.bin", "--runs", "1", "--gpu"]
    command = [EMULATOR, "-L", root, "-E", f"POCKETFORMER_OPENCL={NOWHERE}", *loader, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.stderr == f"the CPU runs it: {NO_OPENCL}\n"
    assert json.loads(done.stdout)["instructions"] == phone.name
