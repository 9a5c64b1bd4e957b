"""Strategies on a table: the searches are the product's, the figures are right, and what is wrong with a table is said."""

import json
from dataclasses import replace

import pytest

from benchmarks.search.__main__ import main
from benchmarks.search.simulate import hypervolume, search, summary
from benchmarks.search.table import Row, Table, add_accuracies, add_latencies, architectures, opened, read
from compiler.measure import Latency
from data.errors import UsageError
from engine.architecture import PRESETS
from engine.settings import Settings
from engine.strategies import strategy_names

SETTINGS = Settings(task="paraphrase", depths=(1, 2), hidden_sizes=(256, 384), ffn_sizes=(384, 768, 1536))
LIMIT_MS = 1.0
MEASURED = Latency(1.5, 1.4, 1.6, 300, "measured", 2, 0.1)


def asked(**values) -> Settings:
    return replace(SETTINGS, latency_ms=LIMIT_MS, screened=1, **values)


@pytest.fixture
def table() -> Table:
    """24 architectures; larger is slower and better, and the first layer's FFN is worth twice the second's."""
    made = Table(SETTINGS, PRESETS["minilm-l6"])
    for each in architectures(made.space):
        latency_ms = each.mult_adds() / 1e9 * 3.0
        accuracy = (
            0.4
            + 0.1 * each.layers
            + each.hidden_size / 4000
            + sum(size / (n * 2e4) for n, size in enumerate(each.ffn_sizes, 1))
        )
        made.latencies[str(each)] = latency_ms, latency_ms * 0.9, latency_ms * 1.1
        made.accuracies[str(each)] = accuracy
    return made


def test_every_architecture_of_the_space_is_there_once(table):
    assert len(list(architectures(table.space))) == len(table.rows) == 2 * (3 + 9)
    assert table.missing() == []
    del table.latencies["L1-H384-A12-F768"]
    assert list(map(str, table.missing())) == ["L1-H384-A12-F768"]


@pytest.mark.parametrize("strategy", strategy_names())
def test_a_search_of_the_whole_space_finds_its_best(table, strategy):
    rows = [row for row in table.rows.values() if row.latency_ms <= LIMIT_MS]
    assert 3 < len(rows) < 20
    trace = search(table, asked(strategy=strategy, trials=24))
    assert len(trace.best) == len(trace.volume) == 24
    found = [each for each in trace.best if each is not None]
    assert found == sorted(found)
    assert list(trace.volume) == sorted(trace.volume)
    depth = max(row.accuracy for row in rows)
    assert trace.best[-1] == depth


def test_equal_seeds_give_equal_searches(table):
    one, again, other = (search(table, asked(strategy="reinforce", seed=seed, trials=8)) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_hypervolume():
    rows = [Row("a", 1.0, 1, 1, 0.5), Row("b", 2.0, 2, 2, 0.8), Row("c", 3.0, 3, 3, 0.7)]
    assert hypervolume(rows, 4.0, 0.4) == pytest.approx(0.1 * 3 + 0.3 * 2)
    assert hypervolume([], 4.0, 0.4) == 0


def test_figures_over_seeds(table):
    traces = [search(table, asked(strategy="random", seed=seed, trials=10)) for seed in range(4)]
    (figures,) = summary(traces, 0.7, 2.0, 10)
    best = [trace.best[-1] or 0 for trace in traces]
    assert figures["evaluations"] == 10
    assert figures["accuracy"] == pytest.approx(sum(best) / 4)
    assert figures["regret"] == pytest.approx(0.7 - sum(best) / 4)
    assert figures["close"] == sum(each >= 0.697 for each in best) / 4


def test_the_command_compares_strategies_at_equal_budgets(table, tmp_path, monkeypatch, capsys):
    path, report, page = tmp_path / "table.json", tmp_path / "report.json", tmp_path / "regret.html"
    table.keep(path)
    assert read(path) == table
    words = ["run", str(path), "--strategies", "reinforce/1,random", "--seeds", "2", "--evaluations", "6", "--processes", "2"]
    words += ["--json", str(report), "--html", str(page)]
    monkeypatch.setattr("sys.argv", ["search", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    kept = json.loads(report.read_text())
    assert [each["quantile"] for each in kept["limits"]] == [0.25, 0.5]
    assert all(list(each["strategies"]) == ["reinforce/1", "random"] for each in kept["limits"])
    shown = capsys.readouterr().out
    assert "seeds within 0.3" in shown
    assert f"the best {kept['limits'][0]['optimum']:.4f}" in shown
    assert "regret, points of accuracy" in page.read_text()


def test_a_table_that_is_not_whole_or_none_is_refused(table, tmp_path, monkeypatch, capsys):
    del table.accuracies["L1-H384-A12-F768"]
    table.keep(tmp_path / "part.json")
    (tmp_path / "none.json").write_text("[1, 2]")
    for name, message in (("part", "lacks 1 architectures of its space"), ("none", "is no table"), ("absent", "is no table")):
        monkeypatch.setattr("sys.argv", ["search", "run", str(tmp_path / f"{name}.json")])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        error = capsys.readouterr().err.strip()
        assert message in error
        assert "\n" not in error


def test_accuracies_and_latencies_are_gone_on_with_where_they_were(table, tmp_path, monkeypatch):
    """Each network is scored once, each architecture compiled and measured once; what is known is left as it is."""
    path, built, scored = tmp_path / "table.json", [], []

    def accuracies(ground, body, progress, should_stop):
        scored.append((body.layers, body.hidden_size))
        return {each.ffn_sizes: each.layers / 10 for each in architectures(table.space)}

    monkeypatch.setattr("engine.supernet.accuracies", accuracies)
    monkeypatch.setattr("engine.ground.ground_of", lambda settings: None)
    monkeypatch.setattr("benchmarks.search.table.build_untrained", lambda each, settings, folder: built.append(str(each)))
    monkeypatch.setattr("benchmarks.search.table.measure_built", lambda folder, settings: MEASURED)
    names = [str(each) for each in architectures(table.space)]
    for name in names[::2]:
        del table.latencies[name]
    del table.accuracies["L1-H384-A12-F768"]
    add_accuracies(table, path, lambda *_: None)
    assert scored == [(1, 384)]
    assert read(path).accuracies["L1-H384-A12-F768"] == 0.1
    add_latencies(table, path, lambda *_: None)
    assert built == names[::2]
    assert read(path) == table
    assert table.missing() == []
    assert table.rows[names[0]].latency_ms == MEASURED.median_ms


def test_a_table_of_other_settings_is_not_gone_on_with(table, tmp_path):
    path = tmp_path / "table.json"
    table.settings = replace(SETTINGS, accuracy="supernet")
    table.keep(path)
    with pytest.raises(UsageError, match="is a table of other settings"):
        opened(replace(SETTINGS, seed=1), path)
