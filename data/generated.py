"""Tasks that the project generates itself, in GLUE's form: the same rows for the same seed, on every machine.

`acceptability`: is this sentence well formed? Half of the sentences get one fault: agreement, a determiner's number, a verb's
form, word order, a word missing or too many. `paraphrase`: do these two sentences mean the same? Those that do differ in voice,
order and synonyms; those that do not differ in the same ways, and in one thing that matters.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from data import grammar
from data.grammar import Clause, Word

TRAIN_ROWS = 4000
DEV_ROWS = 600
SEED = 20
OBJECT_OF_INTRANSITIVE = ("the table", "a letter", "the old lamp", "some apples", "the boat", "this story")


class Rows(NamedTuple):
    """Columns of a split; `text_b` is None where sentences stand alone."""

    text_a: list[str]
    text_b: list[str] | None
    label: list[int]


def acceptability(seed: int = SEED, train_rows: int = TRAIN_ROWS, dev_rows: int = DEV_ROWS) -> tuple[Rows, Rows]:
    """Train and dev rows; label 1: acceptable. No sentence is in both, and none is there twice."""
    return _splits(_judged_sentence, random.Random(f"acceptability {seed}"), train_rows, dev_rows)


def paraphrase(seed: int = SEED, train_rows: int = TRAIN_ROWS, dev_rows: int = DEV_ROWS) -> tuple[Rows, Rows]:
    """Train and dev rows; label 1: the same meaning. No first or second sentence of dev is in train."""
    return _splits(_judged_pair, random.Random(f"paraphrase {seed}"), train_rows, dev_rows)


def paragraphs(seed: int = SEED) -> Iterator[str]:
    """Unlabelled text without end: short paragraphs of well-formed sentences about the same people."""
    rng = random.Random(f"paragraphs {seed}")
    while True:
        yield " ".join(_sentence(rng) for _ in range(rng.randint(2, 5)))


def _splits(
    make: Callable[[random.Random], tuple[tuple[str, ...], int]], rng: random.Random, train_rows: int, dev_rows: int
) -> tuple[Rows, Rows]:
    """Rows of which no text was seen before, the first of them for dev."""
    seen: set[str] = set()
    rows: list[tuple[tuple[str, ...], int]] = []
    while len(rows) < train_rows + dev_rows:
        texts, label = make(rng)
        if seen.isdisjoint(texts) and len(set(texts)) == len(texts):
            seen.update(texts)
            rows.append((texts, label))
    return _columns(rows[dev_rows:]), _columns(rows[:dev_rows])


def _columns(rows: list[tuple[tuple[str, ...], int]]) -> Rows:
    pairs = len(rows[0][0]) == 2
    return Rows(
        [texts[0] for texts, _ in rows], [texts[1] for texts, _ in rows] if pairs else None, [label for _, label in rows]
    )


def _sentence(rng: random.Random) -> str:
    """A well-formed sentence; sometimes what somebody said, or two clauses joined."""
    words = _say(grammar.clause(rng), rng)
    return grammar.written(_embedded(words, rng))


def _say(meaning: Clause, rng: random.Random) -> list[Word]:
    return grammar.say(meaning, rng, passive=grammar.can_be_passive(meaning) and rng.random() < 0.3)


def _embedded(words: list[Word], rng: random.Random) -> list[Word]:
    """The clause alone, or within what somebody said, or beside another clause."""
    lexicon = grammar.lexicon()
    chance = rng.random()
    if chance < 0.15:
        return [
            Word(rng.choice(lexicon["names"]), "name"),
            Word(rng.choice(lexicon["said"]), "said"),
            Word("that", "that"),
            *words,
        ]
    if chance < 0.25:
        return [*words, Word(rng.choice(("and", "but", "because", "while")), "conjunction"), *_say(grammar.clause(rng), rng)]
    return words


def _judged_sentence(rng: random.Random) -> tuple[tuple[str, ...], int]:
    meaning = grammar.clause(rng)
    words = _say(meaning, rng)
    acceptable = rng.random() < 0.5
    if not acceptable:
        faults = list(FAULTS)
        rng.shuffle(faults)
        words = next(spoilt for fault in faults if (spoilt := fault(words, meaning, rng)))
    return (grammar.written(_embedded(words, rng)),), int(acceptable)


# Faults: each returns the words spoilt, or nothing where it does not apply.


def _replace_wrong(words: list[Word], parts: tuple[str, ...], rng: random.Random) -> list[Word]:
    places = [i for i, word in enumerate(words) if word.part in parts and word.wrong and word.wrong != word.text]
    if not places:
        return []
    i = rng.choice(places)
    return [*words[:i], replace(words[i], text=words[i].wrong), *words[i + 1 :]]


def _agreement(words: list[Word], meaning: Clause, rng: random.Random) -> list[Word]:
    return _replace_wrong(words, ("finite",), rng)


def _determiner(words: list[Word], meaning: Clause, rng: random.Random) -> list[Word]:
    return _replace_wrong(words, ("determiner",), rng)


def _verb_form(words: list[Word], meaning: Clause, rng: random.Random) -> list[Word]:
    return _replace_wrong(words, ("dependent", "auxiliary", "main"), rng)


def _order(words: list[Word], meaning: Clause, rng: random.Random) -> list[Word]:
    """Two neighbours change places where that is never right: `dog the`, `slept has`, `table the near`."""
    wrong = {
        ("determiner", "noun"),
        ("determiner", "adjective"),
        ("adjective", "noun"),
        ("preposition", "determiner"),
        ("finite", "determiner"),
        ("main", "determiner"),
        ("modal", "dependent"),
        ("auxiliary", "dependent"),
    }
    places = [i for i in range(len(words) - 1) if (words[i].part, words[i + 1].part) in wrong]
    if not places:
        return []
    i = rng.choice(places)
    return [*words[:i], words[i + 1], words[i], *words[i + 2 :]]


def _missing(words: list[Word], meaning: Clause, rng: random.Random) -> list[Word]:
    """Without the determiner of a singular noun, without the verb, or without what the verb is done to."""
    places = [i for i, word in enumerate(words) if word.part == "determiner" and word.wrong in grammar.OF_SINGULAR]
    active = meaning.object is not None and "by" not in [word.text for word in words]
    verb = next((i for i, word in enumerate(words) if word.part in ("main", "dependent")), -1)
    if verb >= 0 and (active or words[verb].part == "main"):  # `The boy will.` and `The book was by him.` are well formed
        places.append(verb)
    strict = set(meaning.verb) <= set(grammar.lexicon()["verbs"]["strict"])
    if active and strict and verb >= 0 and rng.random() < 0.5:
        return [*words[: verb + 1], *(word for word in words[verb + 1 :] if word.part == "adverbial")]
    if not places:
        return []
    i = rng.choice(places)
    return words[:i] + words[i + 1 :]


def _too_many(words: list[Word], meaning: Clause, rng: random.Random) -> list[Word]:
    """A second determiner, or an object where the verb takes none."""
    if meaning.object is None:
        i = max(i for i, word in enumerate(words) if word.part in ("main", "dependent", "finite"))
        return [*words[: i + 1], Word(rng.choice(OBJECT_OF_INTRANSITIVE), "object"), *words[i + 1 :]]
    places = [i for i, word in enumerate(words) if word.part == "determiner"]
    if not places:
        return []
    i = rng.choice(places)
    return [*words[:i], Word(rng.choice(("the", "a", "this")), "determiner"), *words[i:]]


FAULTS = (_agreement, _determiner, _verb_form, _order, _missing, _too_many)


def _judged_pair(rng: random.Random) -> tuple[tuple[str, ...], int]:
    meaning = grammar.clause(rng)
    same = rng.random() < 0.6  # some of these come out word for word the same and are left out
    other = meaning if same else _other_meaning(meaning, rng)
    return (grammar.written(_say(meaning, rng)), grammar.written(_say(other, rng))), int(same)


def _other_meaning(meaning: Clause, rng: random.Random) -> Clause:
    """One thing that matters is changed: who does it to whom, what is done, to what, when, where, or whether."""
    lexicon = grammar.lexicon()
    changes: list[dict[str, Any]] = [{"negated": not meaning.negated}, {"subject": _other_noun(meaning.subject, rng)}]
    if meaning.object:
        changes.append({"object": _other_noun(meaning.object, rng)})
        if meaning.recipient:
            changes += [{"subject": meaning.recipient, "recipient": meaning.subject}] * 2
            changes.append({"verb": _other(meaning.verb, lexicon["verbs"]["transfer"], rng)})
        else:
            kind = "person" if meaning.object.kind == "name" else meaning.object.kind
            changes.append({"verb": _other(meaning.verb, lexicon["verbs"][kind], rng)})
            if kind == "person":
                changes += [{"subject": meaning.object, "object": meaning.subject}] * 2
    else:
        changes.append({"verb": _other(meaning.verb, lexicon["verbs"]["intransitive"], rng)})
    if meaning.time and meaning.tense != "will":
        changes.append({"time": _other(meaning.time, lexicon["times"], rng)})
    if meaning.place:
        changes.append({"place": _other(meaning.place, lexicon["places"], rng)})
    return replace(meaning, **rng.choice(changes))


def _other_noun(phrase: grammar.Phrase, rng: random.Random) -> grammar.Phrase:
    other = grammar.phrase(rng, "person" if phrase.kind == "name" else phrase.kind, other_than=(phrase,))
    return other if other.kind == "name" else replace(other, beside=phrase.beside, preposition=phrase.preposition)


def _other(word: grammar.Synonyms, words: list[list[str]], rng: random.Random) -> grammar.Synonyms:
    """Another word of the list, with no meaning in common."""
    return tuple(rng.choice([other for other in words if not set(other) & set(word)]))
