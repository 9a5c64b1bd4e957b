"""The tokenizer in C beside Hugging Face's, token by token: on every sentence of GLUE's five sets, and on anything that Unicode has.

    POCKETFORMER_GLUE_DIR=/data/glue python -m benchmarks.tokenizer [--texts 20000] [--seed 0] [--json FILE]

Exit status 1 where one text gets other tokens. A sentence is any cell of a set's files that has a blank in it, each counted once a set.
The fuzz takes every character, alone and within words, and random texts and pairs of a few to sixty characters, cut at random lengths.
"""

import argparse
import ctypes
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.terminal import Progress, table
from compiler import zig
from compiler.isa import host
from compiler.tokenizer_table import table_of
from data.errors import MeasureError, UsageError, exit_status_of
from engine.teacher import model_folder, read_tokenizer

LIMIT = 512
SETS = ("CoLA", "MRPC", "RTE", "SST-2", "STS-B")
FILES = (".tsv", ".txt")
SURROGATES = range(0xD800, 0xE000)
CHARACTERS = 0x110000
BLOCK = 64
LONGEST = 60
Tokens = tuple[list[int], list[int]]  # ids, types
Text = tuple[str, str | None, int]  # with its pair, and the most tokens of both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000, help="random ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("tokenizer", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: POCKETFORMER_GLUE_DIR is not set, or has not all five sets.
        MeasureError: some text gets other tokens.
    """
    folder = os.environ.get("POCKETFORMER_GLUE_DIR")
    missing = [name for name in SETS if not folder or not (Path(folder) / name).is_dir()]
    if missing:
        raise UsageError(f"GLUE's {missing[0]} is missing: set POCKETFORMER_GLUE_DIR to a folder that has {', '.join(SETS)}")
    progress, rows = Progress(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = read_tokenizer(model_folder("minilm"), "minilm")
        encode = encoder(tokenizer, Path(scratch))
        groups: list[tuple[str, Iterator[Text]]] = [(name, sentences(Path(str(folder)) / name)) for name in SETS]
        groups += [("every character", every_character()), ("random texts", random_texts(options.texts, options.seed))]
        for name, texts in groups:
            progress.log(name)
            count, wrong = 0, list[Any]()
            for text, pair, limit in texts:
                count += 1
                if encode(text, pair, limit) != expected(tokenizer, text, pair, limit):
                    wrong.append([text, pair, limit])
            rows.append({"texts": name, "count": count, "wrong": len(wrong), "first": wrong[:3]})
    progress.close()
    total = sum(row["count"] for row in rows[: len(SETS)])
    print(table(("texts", "count", "other tokens"), [(row["texts"], str(row["count"]), str(row["wrong"])) for row in rows]))
    print(f"{total} sentences of GLUE")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=True) + "\n")
    for row in rows:
        if row["wrong"]:
            raise MeasureError(f"{row['wrong']} of {row['texts']} get other tokens than Hugging Face's: {row['first'][0]!r}")


def sentences(folder: Path) -> Iterator[Text]:
    """Of one set, each once."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in FILES]
    lines = (line for path in files for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    for cell in sorted({cell for line in lines for cell in line.split("\t") if " " in cell}):
        yield cell, None, LIMIT


def every_character() -> Iterator[Text]:
    """Apart by blanks, and within one word."""
    for start in range(0, CHARACTERS, BLOCK):
        if start not in SURROGATES:
            characters = [chr(code) for code in range(start, start + BLOCK)]
            yield " ".join(characters), None, LIMIT
            yield "x".join(characters), None, LIMIT


def random_texts(count: int, seed: int) -> Iterator[Text]:
    """Characters of a few blocks each, as texts have them; every other one with a pair."""
    chance = random.Random(seed)

    def text() -> str:
        starts = [chance.choice((0, 0, chance.randrange(0x3000), chance.randrange(CHARACTERS))) for _ in range(3)]
        codes = [
            min(chance.choice(starts) + chance.randrange(0x80), CHARACTERS - 1) for _ in range(chance.randrange(LONGEST + 1))
        ]
        return "".join(chr(code) for code in codes if code not in SURROGATES)

    for number in range(count):
        yield text(), text() if number % 2 else None, chance.choice((LIMIT, chance.randrange(3, 40)))


def encoder(tokenizer: Any, folder: Path) -> Callable[..., Tokens]:
    """`encode(text, pair, limit)` by the C code, compiled in `folder`. A text ends at its first zero, as C's do: zeros are left out."""
    (folder / "tokenizer.bin").write_bytes(table_of(tokenizer))
    zig.link_shared([zig.RUNTIME / "tokenizer.c"], folder / "tokenizer.so", host())
    library = ctypes.CDLL(str(folder / "tokenizer.so"))
    library.pf_tokenizer_open.restype = ctypes.c_void_p
    why = ctypes.c_char_p()
    opened = library.pf_tokenizer_open(str(folder / "tokenizer.bin").encode(), ctypes.byref(why))
    assert opened, why.value
    ids, types = np.zeros((2, LIMIT), np.int32)

    def encode(text: str, pair: str | None = None, limit: int = LIMIT) -> Tokens:
        arrays = [each.ctypes.data_as(ctypes.c_void_p) for each in (ids, types)]
        second = None if pair is None else pair.replace("\0", "").encode()
        count = library.pf_tokenizer_encode(ctypes.c_void_p(opened), text.replace("\0", "").encode(), second, *arrays, limit)
        assert 0 <= count <= limit
        return ids[:count].tolist(), types[:count].tolist()

    return encode


def expected(tokenizer: Any, text: str, pair: str | None = None, limit: int = LIMIT) -> Tokens:
    """Hugging Face's."""
    tokenizer.enable_truncation(limit)
    found = tokenizer.encode(text, pair) if pair is not None else tokenizer.encode(text)
    tokenizer.no_truncation()
    return found.ids, found.type_ids


if __name__ == "__main__":
    main()
