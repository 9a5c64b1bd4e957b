"""The Java class, called by a real Java machine with this machine's build of the code, and the `.aar` that takes it to phones."""

import base64
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from needs import need_folder, need_program
from test_cross import BIONIC, LIBC

from app.cli import main
from compiler import aar, zig
from compiler.aar import WEIGHTS_LIBRARY, pack_weights, write_classes
from compiler.arm import aarch64
from compiler.build import build
from compiler.bundle import TOKENIZER_TABLE, read_bundle, write_bundle
from compiler.emulation import EMULATOR, EmulatedModel
from compiler.emulation import PACKAGE as EMULATOR_PACKAGE
from compiler.isa import host
from compiler.session import Session
from data.errors import CompileError, ModelError

SEQ_LENS = (16, 32)
PROGRAMS = Path(__file__).parent / "java"
PHONE = "galaxy-s20"
TEXTS = [
    ("a plane is taking off",),
    ("a plane is taking off", "no plane is here"),
    ("",),
    ("", ""),
    ("word " * 100,),  # cut
    ("two " * 40, "long ones " * 30),
    ("emoji 👩‍👩‍👧‍👦 in a pair of UTF-16 🙂", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ÜBER-straße"),
    ("before\0after \0 [SE\0P]", "\0"),
    ("[CLS] literal [SEP] tokens",),
    ("half \ud83d a pair \udc00",),
]


def tokenizer():
    """BERT's kind, with fewer tokens than the tests' encoders have rows."""
    from tokenizers import BertWordPieceTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{each}" for each in letters),
        "plane",
        "?",
        ".",
        "-",
    ]
    made = BertWordPieceTokenizer({piece: number for number, piece in enumerate(pieces)})
    made.add_special_tokens(["[CLS]", "[SEP]"])
    return made._tokenizer


def description(device: str, system: str | None, seq_lens=SEQ_LENS) -> dict:
    facts = {"architecture": "tiny", "task": None, "device": device, "system": system, "precision": "fp32", "outputs": 2}
    return facts | {"seq_len": seq_lens[-1], "seq_lens": list(seq_lens)}


def bundled(request_of, folder: Path, device: str, system: str | None) -> Path:
    request = replace(request_of(seq_len=SEQ_LENS[-1], count=6), device=device, seq_lens=SEQ_LENS[:1])
    built = build(request, folder / "built")
    return write_bundle(built.folder, folder / "model.zip", description(device, system), tokenizer().to_str())


@pytest.fixture(scope="module")
def host_bundle(request_of, tmp_path_factory):
    return bundled(request_of, tmp_path_factory.mktemp("host"), "host", None)


@pytest.fixture(scope="module")
def unpacked(host_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ünpacked 🙂")
    with zipfile.ZipFile(host_bundle) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def phone_bundle(request_of, tmp_path_factory):
    return bundled(request_of, tmp_path_factory.mktemp("phone"), PHONE, "android")


@pytest.fixture(scope="module")
def phone_aar(phone_bundle, tmp_path_factory):
    need_program("javac", aar.PACKAGE)
    path = tmp_path_factory.mktemp("aar") / "model.aar"
    assert main(["aar", str(phone_bundle), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    need_program("javac", aar.PACKAGE)
    return write_classes(tmp_path_factory.mktemp("classes") / "classes.jar")


def java(classes: Path, program: str, *words: object, libraries: Path | None = None, said: str = "") -> list[str]:
    """The lines that a program prints. The machine checks every call of ours into it."""
    options = ["-Xcheck:jni", "-XX:TieredStopAtLevel=1", "-cp", classes, f"-Djava.library.path={libraries or ''}"]
    command = [need_program("java", aar.PACKAGE), *options, PROGRAMS / program, *words]
    done = subprocess.run(list(map(str, command)), input=said, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "JNI" not in done.stdout + done.stderr
    return done.stdout.splitlines()


def answers(classes: Path, *words: object, libraries: Path | None = None) -> np.ndarray:
    lines = [
        ",".join(base64.b64encode(each.encode("utf-16-be", "surrogatepass")).decode() for each in texts) for texts in TEXTS
    ]
    rows = java(classes, "Answers.java", *words, libraries=libraries, said="\n".join(lines) + "\n")
    return np.array([row.split() for row in rows], np.float32)


def tokens(texts: tuple[str, ...]) -> list[np.ndarray]:
    """By Hugging Face's tokenizer; Java replaces halves of pairs by question marks."""
    made = tokenizer()
    made.enable_truncation(SEQ_LENS[-1])
    found = made.encode(*(text.encode("utf-8", "replace").decode() for text in texts))
    return [np.array([each]) for each in (found.ids, found.type_ids, found.attention_mask)]


@pytest.fixture(scope="module")
def expected(host_bundle):
    with Session(read_bundle(host_bundle).folder, 2) as session:
        return np.concatenate([session.run(*tokens(texts)) for texts in TEXTS])


def test_java_answers_as_python_does(classes, unpacked, expected):
    np.testing.assert_array_equal(answers(classes, unpacked), expected)


def test_java_answers_from_packed_weights(classes, unpacked, expected, tmp_path):
    """As on a phone: two libraries on the path and no file beside them."""
    pack_weights(unpacked / "weights.bin", unpacked / TOKENIZER_TABLE, tmp_path, host())
    for name in ("weights.bin", "tokenizer.bin"):
        (tmp_path / name).unlink()
    shutil.copy(unpacked / "libpocketformer.so", tmp_path)
    np.testing.assert_array_equal(answers(classes, libraries=tmp_path), expected)


def test_the_command_gives_the_same_answers(host_bundle, expected, capsys):
    for row, texts in zip(expected[:2], TEXTS[:2], strict=True):
        words = ["--text", texts[0], *(["--pair", texts[1]] if len(texts) > 1 else [])]
        assert main(["run", str(host_bundle), *words, "--json"]) == 0
        np.testing.assert_array_equal(np.float32(json.loads(capsys.readouterr().out)["embedding"]), row)


def test_mistakes_are_exceptions(classes, unpacked, tmp_path):
    def spoilt(name: str, member: str, content: bytes | None) -> Path:
        folder = shutil.copytree(unpacked, tmp_path / name)
        (folder / "libpocketformer.so").unlink()  # the app's own is used
        (folder / member).unlink() if content is None else (folder / member).write_bytes(content)
        return folder

    weights, table = ((unpacked / name).read_bytes() for name in ("weights.bin", TOKENIZER_TABLE))
    folders = [
        unpacked,
        tmp_path / "nowhere",
        spoilt("no weights", "weights.bin", None),
        spoilt("short weights", "weights.bin", weights[:-64]),
        spoilt("other weights", "weights.bin", weights[:10] + bytes([weights[10] ^ 1]) + weights[11:]),
        spoilt("no tokenizer", TOKENIZER_TABLE, None),
        spoilt("short tokenizer", TOKENIZER_TABLE, table[:-4]),
        spoilt("empty tokenizer", TOKENIZER_TABLE, b""),
    ]
    said = dict(line.split(": ", 1) for line in java(classes, "Mistakes.java", *folders, libraries=unpacked))
    for what, start, message in [
        (f"load {unpacked.name}", "done", ""),
        ("load nowhere", "FileNotFoundException", "is not a folder; give that of an unpacked bundle"),
        ("load no weights", "IOException", f"cannot open weights file {tmp_path}/no weights/weights.bin"),
        ("load short weights", "IOException", f"has {len(weights) - 64} bytes, this model's has {len(weights)}"),
        ("load other weights", "IOException", "belongs to another model"),
        ("load no tokenizer", "IOException", "cannot open it"),
        ("load short tokenizer", "IOException", "not whole"),
        ("load empty tokenizer", "IOException", "cannot open it"),
        ("text null", "NullPointerException", ""),
        ("pair null", "NullPointerException", ""),
        ("folder null", "NullPointerException", ""),
        ("text", "done", ""),
        ("closed", "IllegalStateException", "the model is closed"),
        ("own weights", "IOException", "no Pocketformer library for this device: no pocketformer_weights in java.library.path"),
    ]:
        assert said[what].startswith(start), what
        assert message in said[what], what


def test_the_functions_of_java_are_where_we_call_them(tmp_path):
    """Against a JDK's own header."""
    include = Path(need_program("javac", aar.PACKAGE)).resolve().parents[1] / "include"
    names = [
        "GetArrayLength",
        "NewByteArray",
        "NewFloatArray",
        "GetByteArrayRegion",
        "SetByteArrayRegion",
        "SetFloatArrayRegion",
    ]
    same = "offsetof(struct pf_java_functions, {0}) == offsetof(struct JNINativeInterface_, {0})"
    checks = "".join(f'_Static_assert({same.format(name)}, "{name}");\n' for name in names)
    (tmp_path / "same.c").write_text(f'#include <stddef.h>\n#include <jni.h>\n#include "java.h"\n{checks}{zig.EMPTY_PROGRAM}')
    zig.link_native([tmp_path / "same.c"], tmp_path / "same", f"-I{include}", f"-I{include / 'linux'}")


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


NATIVE = {"packed", "openPacked", "openFiles", "answer", "error", "release"}


def check_library(elf: ELFFile, name: str, offered: set[str]) -> None:
    assert elf.get_machine_arch() == "AArch64"
    assert all(part["p_align"] >= 16384 for part in elf.iter_segments() if part["p_type"] == "PT_LOAD")
    tags = [(tag.entry.d_tag, tag) for tag in elf.get_section_by_name(".dynamic").iter_tags()]
    assert [tag.needed for kind, tag in tags if kind == "DT_NEEDED"] == ["libc.so"]
    assert [tag.soname for kind, tag in tags if kind == "DT_SONAME"] == [name]
    symbols = [each for each in elf.get_section_by_name(".dynsym").iter_symbols() if each.name]
    assert {each.name for each in symbols if each["st_shndx"] == "SHN_UNDEF"} <= BIONIC
    assert {each.name for each in symbols if each["st_shndx"] != "SHN_UNDEF" and each.name.startswith("Java_")} == offered


def test_every_native_method_has_its_function(classes):
    """Java looks functions up by name, when they are first called."""
    done = subprocess.run(["javap", "-p", "-cp", classes, "io.pocketformer.Model"], capture_output=True, text=True, check=True)
    native = {line.split("(")[0].split()[-1] for line in done.stdout.splitlines() if " native " in line}
    assert native == NATIVE


def test_the_libraries_answer_on_a_phones_processor(phone_aar, phone_bundle, tmp_path):
    """Another libc stands in for Android's, by Android's name."""
    need_program(EMULATOR, EMULATOR_PACKAGE)
    root = need_folder(LIBC, "libc6-arm64-cross")
    with zipfile.ZipFile(phone_aar) as archive:
        libraries = [archive.extract(f"jni/arm64-v8a/{name}", tmp_path) for name in ("libpocketformer.so", WEIGHTS_LIBRARY)]
    (tmp_path / "libc.so").symlink_to(root / "lib" / "libc.so.6")
    zig._run(["-target", aarch64(set(), "linux").zig_shared, str(PROGRAMS.parent / "loads_packed.c"), "-ldl"], tmp_path / "app")
    texts = [each for each in TEXTS if len(each) == 1][:3]
    words = [tmp_path / "app", *libraries, *(text for (text,) in texts)]
    command = [EMULATOR, "-cpu", "cortex-a76", "-L", root, "-E", f"LD_LIBRARY_PATH={tmp_path}", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(phone_bundle)
    facts = json.loads((bundle.folder / "plan.json").read_text())
    bench = EmulatedModel(bundle.folder, {each["seq_len"]: each["flops"] for each in facts["programs"]}, facts["outputs"])
    expected = np.concatenate([bench.run(*tokens(each)) for each in texts])
    np.testing.assert_allclose(np.array([line.split() for line in done.stdout.splitlines()], np.float32), expected, atol=1e-5)


def test_two_are_equal_byte_for_byte(phone_aar, phone_bundle, tmp_path):
    assert main(["aar", str(phone_bundle), "-o", str(tmp_path / "again.aar")]) == 0
    assert (tmp_path / "again.aar").read_bytes() == phone_aar.read_bytes()


def test_the_bundle_says_how_to_make_one(phone_bundle, host_bundle):
    for path, says in ((phone_bundle, True), (host_bundle, False)):
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
