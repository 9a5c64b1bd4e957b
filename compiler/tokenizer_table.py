"""A WordPiece tokenizer as the file that runtime/tokenizer.c maps: what each character becomes, and the vocabulary as a hash table.

What a character becomes is not written down anywhere here: the tokenizer itself is asked about each of Unicode's, so that whatever
its normalizer and its version of Unicode do is what the phone does. That holds for normalizers that look at one character at a time, as BERT's
does (Hugging Face's BertNormalizer: https://huggingface.co/docs/tokenizers/api/normalizers).
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from data.errors import CompileError
from data.home import subfolder

WORD_PIECE = "WordPiece"
MAGIC = b"PFTOK01\0"
CHARACTERS = 0x110000
PAGE = 256
SURROGATES = range(0xD800, 0xE000)
ITSELF, NOTHING, A_SPACE, ITSELF_ALONE, MAPPED = range(5)
END, SPACE, ALONE = 0xFFFFFFFF, 0xFFFFFFFE, 0x80000000
SLOT = np.dtype([("text_at", "<u4"), ("length", "<u2"), ("goes_on", "<u2"), ("id", "<i4")])
HEADER = np.dtype(
    [("magic", "S8"), ("bytes", "<u4"), ("unknown", "<i4"), ("first", "<i4"), ("separator", "<i4")]
    + [(name, "<u4") for name in ("longest_word", "longest_piece", "slots", "literals")]
    + [(f"{name}_at", "<u4") for name in ("pages", "entries", "units", "slots", "pieces", "literals")]
)
FNV_START, FNV_PRIME = 2166136261, 16777619
ALIGNMENT = 4


def table_of(tokenizer: Any) -> bytes:
    """The file's content, for a `tokenizers.Tokenizer`.

    Raises:
        CompileError: it is not BERT's kind: WordPiece, with [CLS] and [SEP] around texts.
    """
    facts = json.loads(tokenizer.to_str())
    model = facts["model"]
    if model["type"] != WORD_PIECE or (facts["pre_tokenizer"] or {}).get("type") != "BertPreTokenizer":
        raise CompileError(f"no tokenizer for phones: it is {model['type']}, and only BERT's WordPiece is written")
    first, separator = _around(tokenizer)
    prefix, vocabulary = model["continuing_subword_prefix"], model["vocab"]
    pages, entries, units = _characters(tokenizer, facts)
    slots, texts = _vocabulary(vocabulary, prefix)
    literals, texts = _literals(facts["added_tokens"], texts)
    arrays = {
        "pages": pages,
        "entries": entries,
        "units": units,
        "slots": slots,
        "pieces": np.frombuffer(texts, np.uint8),
        "literals": literals,
    }
    header = np.zeros((), HEADER)
    header["magic"] = MAGIC
    header["unknown"], header["first"], header["separator"] = vocabulary[model["unk_token"]], first, separator
    header["longest_word"] = model["max_input_chars_per_word"]
    header["longest_piece"] = max(len(piece.encode()) for piece in vocabulary)
    header["slots"], header["literals"] = len(slots), len(literals)
    at = HEADER.itemsize
    parts = []
    for name, array in arrays.items():
        header[f"{name}_at"] = at
        data = array.tobytes().ljust(-(-array.nbytes // ALIGNMENT) * ALIGNMENT, b"\0")
        parts.append(data)
        at += len(data)
    header["bytes"] = at
    return header.tobytes() + b"".join(parts)


def _around(tokenizer: Any) -> tuple[int, int]:
    """The ids before the first text, and after each.

    Raises:
        CompileError: something else is put around texts.
    """
    ids, pair = tokenizer.encode("").ids, tokenizer.encode("", "")
    if len(ids) != 2 or pair.ids != [*ids, ids[1]] or pair.type_ids != [0, 0, 1]:
        raise CompileError("no tokenizer for phones: texts are not put between [CLS] and [SEP] as BERT does")
    return ids[0], ids[1]


def _characters(tokenizer: Any, facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pages' numbers, the distinct pages, and what characters become that become several: three seconds, and kept."""
    asked = json.dumps([facts["normalizer"], facts["pre_tokenizer"], version("tokenizers")], sort_keys=True)
    kept = subfolder("cache", "characters") / f"{hashlib.sha256(asked.encode()).hexdigest()[:24]}.npz"
    try:
        with np.load(kept) as arrays:
            return arrays["pages"], arrays["entries"], arrays["units"]
    except (OSError, ValueError, KeyError):
        pages, entries, units = _ask(tokenizer)
    part = kept.with_suffix(".part.npz")
    np.savez(part, pages=pages, entries=entries, units=units)
    part.replace(kept)
    return pages, entries, units


def _ask(tokenizer: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    normalizer = tokenizer.normalizer
    alone: dict[str, bool | None] = {}
    units: list[int] = []
    places: dict[tuple[int, ...], int] = {}
    table = np.zeros(CHARACTERS, np.uint32)
    for code in range(CHARACTERS):
        if code in SURROGATES:
            table[code] = NOTHING
            continue
        character = chr(code)
        made = normalizer.normalize_str(character) if normalizer else character
        found = tuple(_unit(each, tokenizer, alone) for each in made)
        if found == (code,):
            table[code] = ITSELF
        elif not found:
            table[code] = NOTHING
        elif found == (SPACE,):
            table[code] = A_SPACE
        elif found == (code | ALONE,) or found in ((SPACE, code, SPACE), (SPACE, code | ALONE, SPACE)):
            table[code] = ITSELF_ALONE
        else:
            if found not in places:
                places[found] = len(units)
                units += [*found, END]
            table[code] = MAPPED + places[found]
    rows = table.reshape(-1, PAGE)
    distinct, numbers = np.unique(rows, axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.uint16), distinct, np.array(units or [END], np.uint32)


def _unit(character: str, tokenizer: Any, alone: dict[str, bool | None]) -> int:
    """A character of normalized text: a space, alone, or part of a word, which is what the pre-tokenizer says of it between letters."""
    if character not in alone:
        pieces = [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(f"a{character}a")]
        alone[character] = None if pieces == ["a", "a"] else len(pieces) == 3
    kind = alone[character]
    return SPACE if kind is None else ord(character) | (ALONE if kind else 0)


def _vocabulary(vocabulary: dict[str, int], prefix: str) -> tuple[np.ndarray, bytes]:
    """The hash table, at most half full, and the texts that it points to."""
    count = 1 << (2 * len(vocabulary) - 1).bit_length()
    slots, texts = np.zeros(count, SLOT), bytearray()
    for piece, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        for goes_on, text in _readings(piece, prefix):
            at = _hash(text, goes_on) & (count - 1)
            while slots[at]["length"]:
                at = (at + 1) & (count - 1)
            slots[at] = (len(texts), len(text), goes_on, number)
            texts += text
    return slots, bytes(texts)


def _readings(piece: str, prefix: str) -> Iterator[tuple[int, bytes]]:
    """A piece as what begins a word, and, without its prefix, as what goes on one."""
    if piece:
        yield 0, piece.encode()
    if piece.startswith(prefix) and len(piece) > len(prefix):
        yield 1, piece[len(prefix) :].encode()


def _literals(added: Sequence[dict[str, Any]], texts: bytes) -> tuple[np.ndarray, bytes]:
    """Tokens that are found in a text before anything is done to it, the longest first."""
    found = sorted(((token["content"].encode(), token["id"]) for token in added), key=lambda item: -len(item[0]))
    literals = np.zeros(len(found), SLOT)
    for index, (text, number) in enumerate(found):
        literals[index] = (len(texts), len(text), 0, number)
        texts += text
    return literals, texts


def _hash(text: bytes, goes_on: int) -> int:
    """FNV-1a of 32 bits, as runtime/tokenizer.c has it."""
    value = FNV_START ^ goes_on
    for byte in text:
        value = ((value ^ byte) * FNV_PRIME) & 0xFFFFFFFF
    return value
