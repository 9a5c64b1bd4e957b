"""answer.py REPOSITORY MODULE FILE TOKENS: two inferences of another runtime, with marks for the counting plugin around the second."""

import os
import sys
from contextlib import suppress
from importlib import import_module

MARK = -77


def mark() -> None:
    with suppress(OSError):
        os.lseek(MARK, 0, os.SEEK_SET)


def main() -> None:
    repository, module, file, tokens = sys.argv[1:]
    sys.path.append(repository)
    import numpy as np

    answer = import_module(f"compiler.peers.{module}").load(file, 1)
    sentence = {name: np.zeros((1, int(tokens)), np.int64) for name in ("input_ids", "token_type_ids", "attention_mask")}
    sentence["attention_mask"][:] = 1
    answer(sentence)
    mark()
    answer(sentence)
    mark()


main()
