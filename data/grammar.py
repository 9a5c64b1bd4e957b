"""A small English grammar that speaks: clauses with a meaning, said in several ways, as words that know their wrong forms.

The generated tasks (`data.generated`) are made with it, so that a machine with no hub and no data set has something true to learn:
what is well formed, and what means the same. The words stand in `data/lexicon.toml`.
"""

import random
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

Synonyms = tuple[str, ...]

OBJECTS = ("person", "animal", "thing", "text", "food")
TENSES = ("past", "past", "present", "present", "progressive", "was_progressive", "perfect", "will", "can")
VOWELS = "aeiou"
OF_PLURAL, OF_SINGULAR = (
    ("this", "that", "every", "each"),
    ("these", "those", "many", "several"),
)  # determiners that cannot stand there


@dataclass(frozen=True)
class Word:
    """A word in its place. `part` is its part of speech; `wrong` a form of it that cannot stand there, where there is one."""

    text: str
    part: str
    wrong: str = ""


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: `the tired doctor near the windows`. A name has neither determiner nor number."""

    noun: Synonyms
    kind: str
    plural: bool = False
    determiner: str = ""
    adjective: Synonyms = ()
    beside: "Phrase | None" = None  # a verb that agrees with this one, as the nearest noun, is wrong
    preposition: Synonyms = ()


@dataclass(frozen=True)
class Clause:
    """Who does what to whom, when and where: the meaning of a sentence."""

    subject: Phrase
    verb: Synonyms
    tense: str
    object: Phrase | None = None
    recipient: Phrase | None = None
    time: Synonyms = ()
    place: Synonyms = ()
    adverb: str = ""
    negated: bool = False


@cache
def lexicon() -> dict[str, Any]:
    """What `data/lexicon.toml` says."""
    return tomllib.loads(files("data").joinpath("lexicon.toml").read_text(encoding="utf-8"))


def clause(rng: random.Random) -> Clause:
    """A meaning at random: about one in six without object, one in six of giving something to somebody."""
    words = lexicon()
    pattern = rng.random()
    kind = rng.choice(OBJECTS)
    tense = rng.choice(TENSES)
    time: Synonyms = ()
    if rng.random() < 0.35:
        time = ("tomorrow",) if tense == "will" else tuple(rng.choice(words["times"]))
        tense = "will" if tense == "will" else "past"
    negated = rng.random() < 0.15
    common: dict[str, Any] = {
        "tense": tense,
        "time": time,
        "place": tuple(rng.choice(words["places"])) if rng.random() < 0.35 else (),
        "adverb": rng.choice(words["adverbs"]) if not negated and rng.random() < 0.25 else "",
        "negated": negated,
    }
    if pattern < 1 / 6:
        subject = phrase(rng, rng.choice(("person", "person", "animal")))
        return Clause(subject, tuple(rng.choice(words["verbs"]["intransitive"])), **common)
    subject = phrase(rng, "person")
    if pattern < 1 / 3:
        given = phrase(rng, rng.choice(("thing", "text")), other_than=(subject,))
        recipient = phrase(rng, "person", other_than=(subject,))
        return Clause(subject, tuple(rng.choice(words["verbs"]["transfer"])), object=given, recipient=recipient, **common)
    target = phrase(rng, kind, other_than=(subject,))
    return Clause(subject, tuple(rng.choice(words["verbs"][kind])), object=target, **common)


def phrase(rng: random.Random, kind: str, other_than: tuple[Phrase, ...] = (), simple: bool = False) -> Phrase:
    """A noun phrase at random, of another noun than the phrases given."""
    words = lexicon()
    taken = {other.noun for other in other_than}
    if kind == "person" and rng.random() < 0.25:
        return Phrase((rng.choice([name for name in words["names"] if (name,) not in taken]),), "name")
    noun = tuple(rng.choice([noun for noun in words["nouns"][kind] if tuple(noun) not in taken]))
    plural = rng.random() < 0.4
    determiner = rng.choice(words["determiners"]["plural" if plural else "singular"])
    adjective = tuple(rng.choice(words["adjectives"][kind])) if rng.random() < (0.15 if simple else 0.4) else ()
    if simple or rng.random() < 0.8:
        return Phrase(noun, kind, plural, determiner, adjective)
    beside = replace(phrase(rng, "thing", simple=True), determiner="the")
    return Phrase(noun, kind, plural, determiner, adjective, beside, rng.choice((("near", "close to"), ("behind",))))


def say(meaning: Clause, rng: random.Random, passive: bool = False) -> list[Word]:
    """One way to say it: synonyms, the order of recipient and object, and what stands in front are chosen at random.

    `passive` needs an object and a verb without recipient, and is not taken for progressive tenses.
    """
    if passive and meaning.object and can_be_passive(meaning):
        subject, agent = meaning.object, meaning.subject
        middle = [*_verb(meaning, subject.plural, rng, passive=True), Word("by", "preposition"), *_phrase(agent, rng)]
    else:
        subject = meaning.subject
        middle = _verb(meaning, subject.plural, rng)
        if meaning.object:
            given = _phrase(meaning.object, rng)
            if meaning.recipient:
                receiver = _phrase(meaning.recipient, rng)
                given = [*receiver, *given] if rng.random() < 0.5 else [*given, Word("to", "preposition"), *receiver]
            middle += given
    place = [Word(rng.choice(meaning.place), "adverbial")] if meaning.place else []
    time = [Word(rng.choice(meaning.time), "adverbial")] if meaning.time else []
    body = _phrase(subject, rng) + middle + place
    return [*time, Word(",", "comma"), *body] if time and rng.random() < 0.4 else body + time


def can_be_passive(meaning: Clause) -> bool:
    return meaning.object is not None and meaning.recipient is None and "progressive" not in meaning.tense


def written(words: list[Word]) -> str:
    """The words as a sentence."""
    text = " ".join(word.text for word in words).replace(" ,", ",").replace("can not ", "cannot ")
    return text[0].upper() + text[1:] + "."


def plural_of(noun: str) -> str:
    if noun in lexicon()["plurals"]:
        return lexicon()["plurals"][noun]
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def forms_of(verb: str) -> tuple[str, str, str, str]:
    """Third person, past, participle and -ing form."""
    if verb in lexicon()["forms"]:
        third, past, participle, ing = lexicon()["forms"][verb]
        return third, past, participle, ing
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ies", verb[:-1] + "ied", verb[:-1] + "ied", verb + "ing"
    third = verb + ("es" if verb.endswith(("s", "x", "ch", "sh")) else "s")
    if verb.endswith("e"):
        return third, verb + "d", verb + "d", verb[:-1] + "ing"
    return third, verb + "ed", verb + "ed", verb + "ing"


def _phrase(what: Phrase, rng: random.Random) -> list[Word]:
    noun = rng.choice(what.noun)
    if what.kind == "name":
        return [Word(noun, "name")]
    adjective = [Word(rng.choice(what.adjective), "adjective")] if what.adjective else []
    shown = plural_of(noun) if what.plural else noun
    words = [*adjective, Word(shown, "noun", noun if what.plural else plural_of(noun))]
    determiner = what.determiner
    if determiner == "a" and words[0].text[0] in VOWELS:
        determiner = "an"
    wrong = rng.choice(OF_PLURAL if what.plural else OF_SINGULAR)
    words.insert(0, Word(determiner, "determiner", wrong))
    if what.beside:
        words += [Word(rng.choice(what.preposition), "preposition"), *_phrase(what.beside, rng)]
    return words


def _verb(meaning: Clause, plural: bool, rng: random.Random, passive: bool = False) -> list[Word]:
    """The verb group. The finite word's wrong form has the other number; what follows an auxiliary, another form."""
    base = rng.choice(meaning.verb)
    third, past, participle, ing = forms_of(base)
    adverb = [Word(meaning.adverb, "adverb")] if meaning.adverb else []
    negation = [Word("not", "negation")] if meaning.negated else []

    def finite(singular: str, many: str) -> Word:
        return Word(many, "finite", singular) if plural else Word(singular, "finite", many)

    if passive:
        done = Word(participle, "dependent", ing)
        head: list[Word] = {
            "past": [finite("was", "were"), *negation],
            "present": [finite("is", "are"), *negation],
            "perfect": [finite("has", "have"), *negation, Word("been", "auxiliary", "be")],
            "will": [Word("will", "modal"), *negation, Word("be", "auxiliary", "been")],
            "can": [Word("can", "modal"), *negation, Word("be", "auxiliary", "been")],
        }[meaning.tense]
        return [*head, *adverb, done]
    match meaning.tense:
        case "past" if meaning.negated:
            return [Word("did", "modal"), *negation, *adverb, Word(base, "dependent", past)]
        case "past":
            return [*adverb, Word(past, "main", participle if participle != past else "")]
        case "present" if meaning.negated:
            return [finite("does", "do"), *negation, *adverb, Word(base, "dependent", third)]
        case "present":
            return [*adverb, finite(third, base)]
        case "progressive":
            return [finite("is", "are"), *negation, *adverb, Word(ing, "dependent", base)]
        case "was_progressive":
            return [finite("was", "were"), *negation, *adverb, Word(ing, "dependent", base)]
        case "perfect":
            return [finite("has", "have"), *negation, *adverb, Word(participle, "dependent", base)]
        case modal:
            return [Word(modal, "modal"), *negation, *adverb, Word(base, "dependent", third)]
