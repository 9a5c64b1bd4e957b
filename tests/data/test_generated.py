"""The generated tasks: the same everywhere, without rows in common, and no easier than they should be."""

import hashlib
import random
from itertools import islice

import pytest

from data import generated, grammar

MAKERS = {"acceptability": generated.acceptability, "paraphrase": generated.paraphrase}


@pytest.mark.parametrize("name", MAKERS)
def test_same_for_the_same_seed(name: str) -> None:
    first, again, other = (MAKERS[name](seed, 50, 20) for seed in (1, 1, 2))
    assert first == again
    assert first[0].text_a != other[0].text_a


def test_rows_do_not_change_between_machines() -> None:
    """A changed row changes what a past accuracy meant: such a change is to be made on purpose."""
    text = repr([make() for make in MAKERS.values()]).encode()
    assert hashlib.sha256(text).hexdigest()[:16] == "2cb1b255bc1040ee"


@pytest.mark.parametrize("name", MAKERS)
def test_no_text_is_there_twice(name: str) -> None:
    train, dev = MAKERS[name]()
    texts = [text for rows in (train, dev) for column in (rows.text_a, rows.text_b or []) for text in column]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", MAKERS)
def test_words_alone_do_not_tell(name: str) -> None:
    """A classifier of words and pairs of words, blind to structure, stays near chance: syntax or meaning has to be learnt."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score

    train, dev = MAKERS[name](train_rows=2000)
    joined = [[" | ".join(pair) for pair in zip(rows.text_a, rows.text_b or rows.text_a, strict=True)] for rows in (train, dev)]
    words = CountVectorizer(ngram_range=(1, 2), min_df=2).fit(joined[0])
    model = LogisticRegression(max_iter=100, C=0.3).fit(words.transform(joined[0]), train.label)
    assert accuracy_score(dev.label, model.predict(words.transform(joined[1]))) < 0.68


def test_sentences_are_written_well() -> None:
    for paragraph in islice(generated.paragraphs(), 500):
        assert paragraph[0].isupper()
        assert paragraph.endswith(".")
        assert "  " not in paragraph
        assert " a a" not in paragraph.lower()
        assert not any(f" a {vowel}" in paragraph for vowel in "aeiou")


def test_every_fault_changes_the_words() -> None:
    rng = random.Random(0)
    for fault in generated.FAULTS:
        spoilt = 0
        for _ in range(200):
            meaning = grammar.clause(rng)
            words = grammar.say(meaning, rng)
            changed = fault(words, meaning, rng)
            if changed:
                assert grammar.written(changed) != grammar.written(words), fault
                spoilt += 1
        assert spoilt > 50, fault


@pytest.mark.parametrize(
    ("word", "plural"),
    [("child", "children"), ("box", "boxes"), ("story", "stories"), ("boy", "boys"), ("couch", "couches"), ("photo", "photos")],
)
def test_plurals(word: str, plural: str) -> None:
    assert grammar.plural_of(word) == plural


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("carry", ("carries", "carried", "carried", "carrying")),
        ("praise", ("praises", "praised", "praised", "praising")),
        ("catch", ("catches", "caught", "caught", "catching")),
        ("wash", ("washes", "washed", "washed", "washing")),
        ("destroy", ("destroys", "destroyed", "destroyed", "destroying")),
        ("throw away", ("throws away", "threw away", "thrown away", "throwing away")),
    ],
)
def test_verb_forms(verb: str, forms: tuple[str, ...]) -> None:
    assert grammar.forms_of(verb) == forms


def test_lexicon_is_whole() -> None:
    """Every verb that has to have an object is one, and no irregular form is of a word that is not there."""
    words = grammar.lexicon()
    verbs = {verb for kind, sets in words["verbs"].items() if kind != "strict" for synonyms in sets for verb in synonyms}
    nouns = {noun for sets in words["nouns"].values() for synonyms in sets for noun in synonyms}
    assert set(words["verbs"]["strict"]) <= verbs
    assert set(words["forms"]) <= verbs | {"be"}
    assert set(words["plurals"]) <= nouns
