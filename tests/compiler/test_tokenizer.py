"""The tokenizer in C equals Hugging Face's: on sentences, on anything that Unicode has, and where texts are cut."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needs import absent

from benchmarks.tokenizer import LIMIT, SETS, encoder, every_character, expected, sentences
from compiler.tokenizer_table import table_of
from data.errors import CompileError
from engine.teacher import model_folder, read_tokenizer

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
    return encoder(tokenizer, tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences(tokenizer, encode, text):
    assert encode(text) == expected(tokenizer, text)


def test_every_character_alone_and_within_words(tokenizer, encode):
    for text, _, _ in every_character():
        assert encode(text) == expected(tokenizer, text), hex(ord(text[0]))


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
    texts = sorted({text for name in SETS for text, _, _ in sentences(Path(str(folder)) / name)})
    assert len(texts) > 50_000
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
