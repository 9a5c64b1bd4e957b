"""The `.aar` that takes a bundle to Android apps. What its Java class does: test_java.py."""

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bundles import bundled, description, tokenizer, tokens
from elftools.elf.elffile import ELFFile
from needs import need_folder, need_program
from test_cross import BIONIC, LIBC
from test_java import NATIVE

from app.cli import main
from compiler import aar, zig
from compiler.arm import aarch64
from compiler.bundle import read_bundle, write_bundle
from compiler.emulation import EMULATOR, EmulatedModel
from compiler.emulation import PACKAGE as EMULATOR_PACKAGE
from data.errors import CompileError, ModelError

APP = Path(__file__).parent / "loads_packed.c"
TEXTS = ["a plane is taking off", "", "word " * 100]


@pytest.fixture(scope="module")
def phone_bundle(request_of, tmp_path_factory):
    return bundled(request_of, tmp_path_factory.mktemp("phone"), "galaxy-s20", "android")


@pytest.fixture(scope="module")
def phone_aar(phone_bundle, tmp_path_factory):
    need_program("javac", aar.PACKAGE)
    path = tmp_path_factory.mktemp("aar") / "model.aar"
    assert main(["aar", str(phone_bundle), "-o", str(path)]) == 0
    return path


def test_the_aar_is_what_android_takes(phone_aar, phone_bundle):
    with zipfile.ZipFile(phone_aar) as archive, zipfile.ZipFile(phone_bundle) as bundle:
        assert archive.namelist() == [
            "AndroidManifest.xml",
            "R.txt",
            "assets/pocketformer/model.json",
            "classes.jar",
            "jni/arm64-v8a/libpocketformer.so",
            "jni/arm64-v8a/libpocketformer_weights.so",
            "proguard.txt",
        ]
        assert archive.read("jni/arm64-v8a/libpocketformer.so") == bundle.read("libpocketformer.so")
        assert archive.read("assets/pocketformer/model.json") == bundle.read("model.json")
        with archive.open("classes.jar") as jar, zipfile.ZipFile(jar) as classes:
            assert classes.namelist() == ["io/pocketformer/Model.class"]
            code = classes.read("io/pocketformer/Model.class")
            assert code[:8] == bytes.fromhex("cafebabe00000034")  # Java 8's
        for library, offered in (("libpocketformer", NATIVE - {"packed"}), ("libpocketformer_weights", {"packed"})):
            with archive.open(f"jni/arm64-v8a/{library}.so") as file:
                check_library(ELFFile(file), f"{library}.so", {f"Java_io_pocketformer_Model_{name}" for name in offered})


def check_library(elf: ELFFile, name: str, offered: set[str]) -> None:
    assert elf.get_machine_arch() == "AArch64"
    assert all(part["p_align"] >= 16384 for part in elf.iter_segments() if part["p_type"] == "PT_LOAD")
    tags = [(tag.entry.d_tag, tag) for tag in elf.get_section_by_name(".dynamic").iter_tags()]
    assert [tag.needed for kind, tag in tags if kind == "DT_NEEDED"] == ["libc.so"]
    assert [tag.soname for kind, tag in tags if kind == "DT_SONAME"] == [name]
    symbols = [each for each in elf.get_section_by_name(".dynsym").iter_symbols() if each.name]
    assert {each.name for each in symbols if each["st_shndx"] == "SHN_UNDEF"} <= BIONIC
    assert {each.name for each in symbols if each["st_shndx"] != "SHN_UNDEF" and each.name.startswith("Java_")} == offered


def test_the_libraries_answer_on_a_phones_processor(phone_aar, phone_bundle, tmp_path):
    """Another libc stands in for Android's, by Android's name."""
    need_program(EMULATOR, EMULATOR_PACKAGE)
    root = need_folder(LIBC, "libc6-arm64-cross")
    with zipfile.ZipFile(phone_aar) as archive:
        libraries = [archive.extract(f"jni/arm64-v8a/{name}", tmp_path) for name in ("libpocketformer.so", aar.WEIGHTS_LIBRARY)]
    (tmp_path / "libc.so").symlink_to(root / "lib" / "libc.so.6")
    zig._run(["-target", aarch64(set(), "linux").zig_shared, str(APP), "-ldl"], tmp_path / "app")
    words = [tmp_path / "app", *libraries, *TEXTS]
    command = [EMULATOR, "-cpu", "cortex-a76", "-L", root, "-E", f"LD_LIBRARY_PATH={tmp_path}", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(phone_bundle)
    facts = json.loads((bundle.folder / "plan.json").read_text())
    bench = EmulatedModel(bundle.folder, {each["seq_len"]: each["flops"] for each in facts["programs"]}, facts["outputs"])
    expected = np.concatenate([bench.run(*tokens((text,))) for text in TEXTS])
    np.testing.assert_allclose(np.array([line.split() for line in done.stdout.splitlines()], np.float32), expected, atol=1e-5)


def test_two_are_equal_byte_for_byte(phone_aar, phone_bundle, tmp_path):
    assert main(["aar", str(phone_bundle), "-o", str(tmp_path / "again.aar")]) == 0
    assert (tmp_path / "again.aar").read_bytes() == phone_aar.read_bytes()


def test_the_bundle_says_how_to_make_one(phone_bundle, unmade):
    for path, says in ((phone_bundle, True), (unmade(None, tokenizer().to_str()), False)):
        with zipfile.ZipFile(path) as archive:
            readme = archive.read("README.md").decode()
        assert ("pocketformer aar BUNDLE.zip" in readme) is says
        assert ('val scores: FloatArray = model.run("a sentence")' in readme) is says


@pytest.fixture
def unmade(tmp_path):
    """A bundle by hand, which nothing has to be compiled for."""

    def make(system: str | None, tokenizer_json: str, library: bytes = b"") -> Path:
        built = tmp_path / "built"
        built.mkdir()
        for name in ("model.so", "bench", "weights.bin", "plan.json", "pocketformer.h"):
            (built / name).write_bytes(library)
        return write_bundle(built, tmp_path / "a.zip", description("some-phone", system), tokenizer_json)

    return make


def test_a_bundle_for_another_system_is_refused(unmade, tmp_path, capsys):
    assert main(["aar", str(unmade(None, "{}")), "-o", str(tmp_path / "a.aar")]) == 2
    assert "takes a bundle for an Android phone, this one is for some-phone" in capsys.readouterr().err
    assert not (tmp_path / "a.aar").exists()


def test_a_bundle_without_a_tokenizer_for_phones_is_refused(unmade, tmp_path):
    with pytest.raises(ModelError, match="tokenizer is not BERT's WordPiece"):
        aar.write_aar(read_bundle(unmade("android", "{}")), tmp_path / "a.aar")


def test_a_bundle_from_before_is_refused(unmade, tmp_path):
    with pytest.raises(ModelError, match="made before its library could be called from Java"):
        aar.write_aar(read_bundle(unmade("android", tokenizer().to_str())), tmp_path / "a.aar")


def test_without_a_java_compiler_the_package_is_named(unmade, tmp_path, monkeypatch):
    bundle = read_bundle(unmade("android", tokenizer().to_str(), b"Java_io_pocketformer_Model_answer\0"))
    for home, says in ((None, "or set JAVA_HOME"), (str(tmp_path), f"JAVA_HOME is {tmp_path}, which has none")):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("JAVA_HOME", home) if home else monkeypatch.delenv("JAVA_HOME", raising=False)
        with pytest.raises(CompileError, match="javac: install the package default-jdk-headless") as error:
            aar.write_aar(bundle, tmp_path / "a.aar")
        assert says in str(error.value)
        assert not (tmp_path / "a.aar").exists()


def test_another_ending_is_wrong_use(capsys):
    assert main(["aar", "a.zip", "-o", "model.zip"]) == 2
    assert "write -o model.aar" in capsys.readouterr().err
