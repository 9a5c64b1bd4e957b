"""Rows to distil on: of the task's form, the same for the same seed."""

from tiny import PAIRS, SENTENCES

from engine.corpus import Corpus
from engine.teacher import Teacher
from engine.tokens import Row


def _rows(corpus: Corpus, seed: int, chunk: int) -> list[Row]:
    return [row for batch in corpus.batches(seed, chunk, 256) for row in batch]


def test_a_chunk_depends_on_seed_and_number_alone(corpus: Corpus) -> None:
    assert corpus.batches(1, 5, 256) == corpus.batches(1, 5, 256)
    assert _rows(corpus, 1, 5) != _rows(corpus, 1, 6)
    assert _rows(corpus, 1, 5) != _rows(corpus, 2, 5)


def test_a_student_of_pairs_reads_pairs_of_task_and_text(corpus: Corpus) -> None:
    for chunk in range(3):
        assert all(set(row.type_ids) == {0, 1} for row in _rows(corpus, 0, chunk))


def test_a_student_of_sentences_reads_single_ones(teacher: Teacher) -> None:
    corpus = Corpus(SENTENCES, ["the man plays ."], teacher.tokenizer, 32)
    for chunk in range(3):
        assert all(set(row.type_ids) == {0} for row in _rows(corpus, 0, chunk))


def test_without_text_the_task_alone_is_read(teacher: Teacher) -> None:
    assert _rows(Corpus(PAIRS, [], teacher.tokenizer, 32), 0, 2)


def test_rows_are_cut_and_batches_are_of_like_size(teacher: Teacher) -> None:
    corpus = Corpus(PAIRS, [" ".join(SENTENCES * 9)], teacher.tokenizer, 12)
    for chunk in range(3):
        batches = corpus.batches(0, chunk, 96)
        assert max(len(row.ids) for batch in batches for row in batch) <= 12
        assert all(len(batch) * max(len(row.ids) for row in batch) <= 96 + 2 * 12 + 4 * len(batch) for batch in batches)


def test_the_fingerprint_knows_every_sentence(teacher: Teacher, corpus: Corpus) -> None:
    assert corpus.fingerprint == Corpus(PAIRS, [" ".join(SENTENCES)], teacher.tokenizer, 32).fingerprint
    assert corpus.fingerprint != Corpus(PAIRS[1:], [" ".join(SENTENCES)], teacher.tokenizer, 32).fingerprint
    assert corpus.fingerprint != Corpus(PAIRS, [], teacher.tokenizer, 32).fingerprint
