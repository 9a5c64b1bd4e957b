"""The Java class, called by a real Java machine with this machine's build of the code."""

import base64
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bundles import bundled, tokens
from needs import need_program

from app.cli import main
from compiler import zig
from compiler.aar import PACKAGE, pack_weights, write_classes
from compiler.bundle import TOKENIZER_TABLE, read_bundle
from compiler.isa import host
from compiler.session import Session

PROGRAMS = Path(__file__).parent / "java"
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
def classes(tmp_path_factory):
    need_program("javac", PACKAGE)
    return write_classes(tmp_path_factory.mktemp("classes") / "classes.jar")


def java(classes: Path, program: str, *words: object, libraries: Path | None = None, said: str = "") -> list[str]:
    """The lines that a program prints. The machine checks every call of ours into it."""
    options = ["-Xcheck:jni", "-XX:TieredStopAtLevel=1", "-cp", classes, f"-Djava.library.path={libraries or ''}"]
    command = [need_program("java", PACKAGE), *options, PROGRAMS / program, *words]
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
    include = Path(need_program("javac", PACKAGE)).resolve().parents[1] / "include"
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


NATIVE = {"packed", "openPacked", "openFiles", "answer", "error", "release"}


def test_every_native_method_has_its_function(classes):
    """Java looks functions up by name, when they are first called."""
    done = subprocess.run(["javap", "-p", "-cp", classes, "io.pocketformer.Model"], capture_output=True, text=True, check=True)
    native = {line.split("(")[0].split()[-1] for line in done.stdout.splitlines() if " native " in line}
    assert native == NATIVE
