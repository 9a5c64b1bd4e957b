"""What a student sees while it is distilled: unlabelled rows of the kind that it will be used on.

Two thirds of the rows come from the task's training sentences and a third from the text. A student that will judge pairs is distilled on
pairs: the task's own, its sentences paired anew, and neighbouring or unrelated sentences of the text, as fine-tuning sees
`[CLS] a [SEP] b [SEP]` and a body distilled on single paragraphs has never met a second segment.

Measured with three layers of hidden size 384, STS-B dev Pearson after two epochs: 23,000 paragraphs as text alone 0.77 (pooled as
one), 400,000 tokens of the task's pairs 0.854, as many with two thirds of text 0.848. Text costs a little on the task it is mixed
with and keeps a small task's few words from being all that a body knows.
"""

import hashlib
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from engine.tokens import Row, batches_of_tokens, encode

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK_ROWS = 256  # tokenised and sorted by length together
TEXT_TOKENS = 64  # most of a row of text; attention beyond that costs more than it teaches
LARGEST_TEXT = 100_000  # paragraphs read; ten minutes of distillation on two cores see a tenth of them
SENTENCE_END = re.compile(r"(?<=[.!?]) +")


@dataclass(frozen=True)
class Corpus:
    """Rows without end, the same for the same seed; chunk i is made from (seed, i) alone, so that a resumed run goes on at any.

    `examples` are the task's training sentences, or pairs of them; labels play no part.
    """

    examples: Sequence[str | tuple[str, str]]
    paragraphs: Sequence[str]
    tokenizer: "Tokenizer"
    max_tokens: int

    @property
    def pairs(self) -> bool:
        return isinstance(self.examples[0], tuple)

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides the rows. Linear in the text's size: about 10 ms a megabyte."""
        digest = hashlib.sha256(f"{self.max_tokens} {CHUNK_ROWS} {TEXT_TOKENS}".encode())
        for text in (*(part for example in self.examples for part in _parts(example)), *self.paragraphs):
            digest.update(text.encode())
            digest.update(b"\0")
        return digest.hexdigest()[:16]

    def batches(self, seed: int, chunk: int, batch_tokens: int) -> list[list[Row]]:
        """The batches of one chunk, each of about `batch_tokens` tokens; every third chunk is the text's, the others the task's."""
        rng = random.Random(f"{seed}/{chunk}")
        if chunk % 3 == 2 and self.paragraphs:
            rows = encode(self.tokenizer, [self._of_text(rng) for _ in range(CHUNK_ROWS)], min(TEXT_TOKENS, self.max_tokens))
        else:
            rows = encode(self.tokenizer, [self._of_task(rng) for _ in range(CHUNK_ROWS)], self.max_tokens)
        return [[rows[index] for index in batch] for batch in batches_of_tokens(rows, batch_tokens, rng)]

    def _of_task(self, rng: random.Random) -> str | tuple[str, str]:
        example = rng.choice(self.examples)
        if isinstance(example, str):
            return example
        if rng.random() < 0.5:
            example = (rng.choice(example), rng.choice(_parts(rng.choice(self.examples))))
        return example if rng.random() < 0.5 else (example[1], example[0])

    def _of_text(self, rng: random.Random) -> str | tuple[str, str]:
        paragraph = rng.choice(self.paragraphs)
        if not self.pairs:
            return paragraph
        sentences = SENTENCE_END.split(paragraph)
        first = rng.randrange(len(sentences))
        if first + 1 < len(sentences) and rng.random() < 0.5:
            return sentences[first], sentences[first + 1]
        return sentences[first], rng.choice(SENTENCE_END.split(rng.choice(self.paragraphs)))


def limited(paragraphs: Iterable[str]) -> list[str]:
    """As much of a text as distillation can use."""
    return list(islice(paragraphs, LARGEST_TEXT))


def _parts(example: str | tuple[str, str]) -> tuple[str, ...]:
    return (example,) if isinstance(example, str) else example
