"""The tokenizer in C equals Hugging Face's: on sentences, on anything that Unicode has, and where texts are cut."""

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needs import absent

from compiler import zig
from compiler.isa import host
from compiler.tokenizer_table import table_of
from data.errors import CompileError
from engine.teacher import model_folder, read_tokenizer

LIMIT = 512
SENTENCES = [
    "A plane is taking off.",
    "  Naïve   façades,\tÜBER-straße\u00a0İstanbul ﬁne…\n",
    "中文字 mixed日本語テスト 한국어 ก็",
    "[CLS] literal [SEP][MASK] tokens[PAD]x [UNK]",
    "👩‍👩‍👧‍👦 emoji €5.00 – “quotes” x²",
    "a" * 99 + " " + "b" * 100 + " " + "c" * 101,
    "\u0000\u0001\ufeff\u200b\u200d\ufffd zero width",
    "",
    "unaffable-antidisestablishmentarianism ##ing # # [ SEP ] [sep]",
]


@pytest.fixture(scope="module")
def tokenizer():
    return read_tokenizer(model_folder("minilm"), "minilm")


@pytest.fixture(scope="module")
def encode(tokenizer, tmp_path_factory):
    """`encode(text, pair, limit)` -> ids, types, by the C code."""
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "tokenizer.bin").write_bytes(table_of(tokenizer))
    zig.link_shared([zig.RUNTIME / "tokenizer.c"], folder / "tokenizer.so", host())
    library = ctypes.CDLL(str(folder / "tokenizer.so"))
    library.pf_tokenizer_open.restype = ctypes.c_void_p
    why = ctypes.c_char_p()
    opened = library.pf_tokenizer_open(str(folder / "tokenizer.bin").encode(), ctypes.byref(why))
    assert opened, why.value
    ids, types = np.zeros((2, LIMIT), np.int32)

    def run(text: str, pair: str | None = None, limit: int = LIMIT) -> tuple[list[int], list[int]]:
        arrays = [each.ctypes.data_as(ctypes.c_void_p) for each in (ids, types)]
        second = None if pair is None else pair.replace("\0", "").encode()
        count = library.pf_tokenizer_encode(ctypes.c_void_p(opened), text.replace("\0", "").encode(), second, *arrays, limit)
        assert 0 <= count <= limit
        return ids[:count].tolist(), types[:count].tolist()

    return run


def expected(tokenizer, text, pair=None, limit=LIMIT):
    tokenizer.enable_truncation(limit)
    found = tokenizer.encode(text, pair) if pair is not None else tokenizer.encode(text)
    tokenizer.no_truncation()
    return found.ids, found.type_ids


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences(tokenizer, encode, text):
    assert encode(text) == expected(tokenizer, text)


def test_every_character_alone_and_within_words(tokenizer, encode):
    for start in range(0, 0x110000, 64):
        if 0xD800 <= start < 0xE000:
            continue
        characters = [chr(code) for code in range(start, start + 64)]
        for text in (" ".join(characters), "x".join(characters)):
            assert encode(text) == expected(tokenizer, text), hex(start)


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


@settings(max_examples=1000, deadline=None)
@given(text=TEXT, pair=st.none() | TEXT, limit=st.integers(3, 40))
def test_any_text_and_any_limit(tokenizer, encode, text, pair, limit):
    assert encode(text, pair, limit) == expected(tokenizer, text, pair, limit)


def test_glue(tokenizer, encode):
    """Every sentence of the five sets; they are counted."""
    folder = os.environ.get("POCKETFORMER_GLUE_DIR")
    if not folder:
        absent("POCKETFORMER_GLUE_DIR is not set")
    lines = {
        cell
        for path in sorted(Path(str(folder)).rglob("*"))
        if path.suffix in (".tsv", ".txt")
        for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        for cell in line.split("\t")
        if " " in cell
    }
    assert len(lines) > 50_000
    texts = sorted(lines)
    tokenizer.enable_truncation(LIMIT)
    found = tokenizer.encode_batch(texts)
    tokenizer.no_truncation()
    wrong = [text for text, each in zip(texts, found, strict=True) if encode(text) != (each.ids, each.type_ids)]
    assert not wrong, wrong[:3]


def test_a_tokenizer_of_another_kind_is_refused():
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    with pytest.raises(CompileError, match="it is BPE"):
        table_of(Tokenizer(BPE()))
