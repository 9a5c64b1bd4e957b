"""Questions about many trials: what DuckDB answers is what a loop over all of them finds."""

import random

import pytest

from data.explore import Chosen, Explorer, Share, history, hypervolume
from data.records import Trial
from data.store import open_store

CHOSEN = Chosen("stsb", "host")
SIZES = [(layers, hidden, ffn) for layers in (2, 3, 4) for hidden in (256, 384) for ffn in ("768", "1536")]


def made(run_id, number, draw):
    layers, hidden, ffn = draw.choice(SIZES)
    latency_ms = round(layers * hidden / 200 + draw.uniform(0, 0.3), 3)
    over = latency_ms > 7
    return Trial(
        run_id,
        number,
        phase=2,
        architecture=f"L{layers}-H{hidden}-A{hidden // 32}-F{ffn}-E384",
        status="over_limit" if over else "trained",
        latency_ms=latency_ms,
        latency_source="measured",
        accuracy=None if over else round(0.4 + 0.1 * layers + draw.gauss(0, 0.02), 4),
        reason="over the limit of 7 ms" if over else None,
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """(an explorer, all trials of its subject): two runs of one subject, one of another task, one of another device."""
    draw = random.Random(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETFORMER_HOME", str(tmp_path_factory.mktemp("explored")))
        with open_store() as store:
            trials = []
            for run_id, task, device in (
                ("a", "stsb", "host"),
                ("b", "stsb", "host"),
                ("c", "cola", "host"),
                ("d", "stsb", "pixel-8"),
            ):
                store.create_run(
                    run_id, {"task": task, "device": device, "latency_ms": 7.0, "strategy": "random", "teacher": "t"}, {}
                )
                rows = [made(run_id, number, draw) for number in range(1, 201)]
                store.commit_step(run_id, 0, state={}, status="done", trials=rows)
                trials += rows if (task, device) == ("stsb", "host") else []
            yield Explorer(store), trials


def test_subjects_are_tasks_on_devices_with_what_there_is_of_them(asked):
    explorer, _ = asked
    found = {(each.task, each.device): (each.runs, each.trials) for each in explorer.subjects()}
    assert found == {("stsb", "host"): (2, 400), ("cola", "host"): (1, 200), ("stsb", "pixel-8"): (1, 200)}


def test_an_architectures_sizes_are_columns(asked):
    explorer, trials = asked
    point = explorer.trial("a", 7)
    architecture = next(each.architecture for each in trials if (each.run_id, each.trial) == ("a", 7))
    assert architecture == f"L{point.layers}-H{point.hidden_size}-A{point.hidden_size // 32}-F{point.ffn_mean:.0f}-E384"


def test_the_mean_ffn_size_is_over_all_layers_and_other_kinds_have_sizes_too(fresh_home):
    with open_store() as store:
        store.create_run("r", {"task": "stsb", "device": "host"}, {})
        names = ["L2-H256-A8-F1024,512", "MobileBERT-L24-H512-A4-F512-E128-B128", "?"]
        store.commit_step("r", 0, state={}, trials=[Trial("r", number, 1, name) for number, name in enumerate(names)])
        sizes = [(each.layers, each.hidden_size, each.ffn_mean) for each in (Explorer(store).trial("r", at) for at in range(3))]
    assert sizes == [(2, 256, 768.0), (24, 512, 512.0), (None, None, None)]


def test_the_overview_counts_and_bounds(asked):
    explorer, trials = asked
    found = explorer.overview(CHOSEN)
    scored = [each.accuracy for each in trials if each.accuracy is not None]
    assert (found.trials, found.runs, found.scored, found.over_limit) == (400, 2, len(scored), 400 - len(scored))
    assert (found.accuracy_low, found.accuracy_high) == (min(scored), max(scored))
    assert (found.layers_low, found.layers_high, found.hidden_high, found.limit_ms) == (2, 4, 384, 7.0)


def test_filters_leave_out_what_they_say(asked):
    explorer, trials = asked
    chosen = Chosen("stsb", "host", runs=("a",), statuses=("trained",), layers=(3, 4), latency_ms=(4.0, 6.0))
    wanted = [
        each.trial
        for each in trials
        if each.run_id == "a" and each.accuracy and each.architecture[:2] in ("L3", "L4") and 4 <= each.latency_ms <= 6
    ]
    assert sorted(each.trial for each in explorer.rows(chosen, limit=1000)) == wanted
    assert explorer.overview(chosen).trials == len(wanted) > 10


@pytest.mark.parametrize("limit_ms", [None, 5.0])
def test_the_front_is_what_nothing_beats(asked, limit_ms):
    explorer, trials = asked
    within = [(each.latency_ms, each.accuracy) for each in trials if each.accuracy and each.latency_ms <= (limit_ms or 1e9)]
    wanted = [pair for pair in within if not any(o != pair and o[0] <= pair[0] and o[1] >= pair[1] for o in within)]
    assert [(each.latency_ms, each.accuracy) for each in explorer.front(CHOSEN, limit_ms)] == sorted(set(wanted))


def test_cells_of_the_density_add_up_to_the_window(asked):
    explorer, trials = asked
    cells = explorer.density(CHOSEN, (0.0, 6.0), (0.0, 1.0), 20, 10)
    assert sum(cell.trials for cell in cells) == sum(1 for each in trials if each.accuracy and each.latency_ms <= 6)
    assert all(0 <= cell.column < 20 and 0 <= cell.row < 10 for cell in cells)
    bins = explorer.unscored(CHOSEN, (0.0, 10.0), 20)
    assert sum(each.trials for each in bins) == sum(1 for each in trials if each.accuracy is None)


def test_points_come_one_by_one_only_while_they_are_few(asked):
    explorer, _ = asked
    assert explorer.points(CHOSEN, (0.0, 10.0), (0.0, 1.0), most=50) is None
    assert len(explorer.points(CHOSEN, (0.0, 3.0), (0.0, 1.0), most=300)) > 10


def test_the_hypervolume_is_the_area_under_the_front():
    assert hypervolume([(1.0, 0.5), (2.0, 0.8)], 4.0) == pytest.approx((0.5 * 3 + 0.3 * 2) / 4)
    assert hypervolume([], 4.0) == 0
    assert hypervolume([(5.0, 0.9)], 4.0) == 0


def test_a_runs_history_ends_at_its_fronts_hypervolume(asked):
    explorer, _ = asked
    records = explorer.records(CHOSEN, 7.0)
    for run_id in ("a", "b"):
        front = explorer.front(Chosen("stsb", "host", runs=(run_id,)), 7.0)
        steps = history(records[run_id], 7.0)
        assert [value for _, value in steps] == sorted(value for _, value in steps)
        assert steps[-1][1] == pytest.approx(hypervolume([(each.latency_ms, each.accuracy) for each in front], 7.0), abs=0.005)


def test_lines_are_bounded_the_same_each_time_and_have_the_best(asked):
    explorer, trials = asked
    lines = explorer.lines(CHOSEN, most=50)
    assert lines == explorer.lines(CHOSEN, most=50)
    assert 40 <= len(lines) <= 50
    assert max(each.accuracy for each in lines) == max(each.accuracy for each in trials if each.accuracy)


def test_groups_have_means_of_their_own_trials(asked):
    explorer, trials = asked
    found = {(each.x, each.y): each for each in explorer.groups(CHOSEN, "layers", "hidden_size", "latency_ms")}
    mine = [each.latency_ms for each in trials if each.architecture.startswith("L3-H256")]
    assert found[3, 256].trials == len(mine)
    assert found[3, 256].mean == pytest.approx(sum(mine) / len(mine))
    assert found[3, 256].best == min(mine)
    with pytest.raises(ValueError, match="none of"):
        explorer.groups(CHOSEN, "layers; DROP TABLE runs", "hidden_size", "latency_ms")


def test_layers_explain_accuracy_and_ffn_sizes_do_not(asked):
    explorer, _ = asked
    shares: dict[str, Share] = {each.decision: each for each in explorer.importance(CHOSEN, "accuracy")}
    assert shares["layers"].share > 0.8
    assert shares["ffn_mean"].share < 0.05
    assert 0 < shares["layers"].error < 0.1
    latency = explorer.importance(CHOSEN, "latency_ms")
    assert {each.decision for each in latency[:2]} == {"layers", "hidden_size"}


def test_known_accuracies_are_means_over_runs_and_devices(asked):
    explorer, _ = asked
    known = explorer.known("stsb", "t")
    assert {each.architecture[:2] for each in known} >= {"L2", "L3"}
    assert sum(each.trials for each in known) > 300
    scores = explorer.scores(known[0].architecture)
    assert {each.task for each in scores} <= {"stsb", "cola"}
    assert all(each.final_accuracy is None and each.finals == 0 for each in scores)


def test_nothing_chosen_is_no_error(asked):
    explorer, _ = asked
    nothing = Chosen("stsb", "host", latency_ms=(100.0, 200.0))
    assert explorer.overview(nothing).trials == 0
    assert explorer.front(nothing) == explorer.lines(nothing) == explorer.rows(nothing) == []
    assert explorer.importance(nothing, "accuracy") == explorer.groups(nothing, "layers", "ffn_mean", "accuracy") == []
    assert explorer.records(nothing, 5.0) == {}
    assert explorer.trial("a", 10_000) is None
