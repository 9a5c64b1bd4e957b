"""Strategies by name: ours, and those of other packages."""

import pytest
from worlds import World

from data.errors import UsageError
from engine import strategies
from engine.settings import Settings
from engine.space import Decision
from engine.strategies import OURS, Outcome, make_strategy, strategy_names

DECISIONS = [Decision("depth", (1, 2, 3))]
MODULE = """class Last:
    def __init__(self, options, seed, state=None):
        self.seen = state["seen"] if state else 0

    def propose(self, decisions):
        return tuple(len(each.options) - 1 for each in decisions)

    def observe(self, decisions, choices, outcome):
        self.seen += 1

    def probabilities(self, decisions, choices):
        return []

    def to_state(self):
        return {"seen": self.seen}
"""
NAMES = ("last:Last", "lost:Lost", "random:Last", "lacking:Lacking", "wild:Wild", "faulty:Faulty")
ENTRY_POINTS = "[pocketformer.strategies]\n" + "".join(
    f"{name} = last_strategy:{made}\n" for name, made in (each.split(":") for each in NAMES)
)


LACKING = """

class Lacking:
    def __init__(self, options, seed, state=None):
        pass

    def propose(self, decisions):
        return (0,)

    observe = None


class Wild(Last):
    def propose(self, decisions):
        return (7,)


class Faulty(Last):
    def propose(self, decisions):
        raise KeyError("no such\\nthing")
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with strategies of its own."""
    (tmp_path / "last_strategy.py").write_text(MODULE + LACKING)
    facts = tmp_path / "last_strategy-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: last-strategy\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    strategies._others.cache_clear()
    yield
    strategies._others.cache_clear()


def test_another_packages_strategy_is_taken_by_its_name(package):
    assert Settings(strategy="last").strategy == "last"
    strategy = make_strategy("last", {}, 0)
    assert strategy.propose(DECISIONS) == (2,)
    strategy.observe(DECISIONS, (2,), Outcome(1.0))
    assert make_strategy("last", {}, 0, strategy.to_state()).to_state() == {"seen": 1}


def test_it_takes_none_of_our_names(package):
    assert strategy_names() == (*OURS, "faulty", "lacking", "last", "lost", "wild")
    assert isinstance(make_strategy("random", {}, 0), strategies.RandomStrategy)


def test_one_that_does_not_load_is_an_error_of_one_line(package):
    with pytest.raises(
        UsageError, match=r"strategy 'lost' does not load from last_strategy:Lost: .*; mend its package"
    ) as raised:
        make_strategy("lost", {}, 0)
    assert "\n" not in str(raised.value)


def test_one_that_lacks_a_method_is_an_error_of_one_line(package):
    with pytest.raises(UsageError, match=r"strategy 'lacking' from .* has no observe, probabilities, to_state; mend") as raised:
        make_strategy("lacking", {}, 0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wild", "strategy 'wild' proposed (7, ), but it has to choose of [3] options"),
        ("faulty", r"strategy 'faulty' failed in propose: KeyError: "),
    ],
)
def test_what_it_does_wrong_fails_the_run_in_one_line(package, name, message):
    """Not the worker: the run says it, and nothing is left under way."""
    state = World().run(Settings(strategy=name, trials=3, depths=(1, 2, 3)))
    assert state.status == "failed"
    assert state.error.startswith(message.replace(", )", ",)"))
    assert "\n" not in state.error
    assert state.pending == {}


def test_an_unknown_name():
    with pytest.raises(
        UsageError, match="unknown strategy 'best'; take one of bayes, reinforce, random, tpe, nsga2, evolution"
    ):
        make_strategy("best", {}, 0)
