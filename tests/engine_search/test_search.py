"""The state machine, in made-up worlds: any order, repetition and loss of events leads to a consistent end."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from worlds import COMPILED, World, latency_ms

from engine import search
from engine.search import Cancel, Do, Finished, Search, SearchState, Start, Stop, initial_state, step
from engine.settings import Settings
from engine.space import AT_ONCE
from engine.strategies import make_strategy, phases_of, strategy_names

SEARCH = Settings(latency_ms=5.0, trials=8, strategy="random", phases=2)


def check_end(state: SearchState, settings: Settings) -> None:
    """What holds at the end of every run."""
    assert state.status in ("done", "failed", "cancelled")
    assert state.pending == {}
    assert len(state.trials) <= settings.trials
    assert [trial.trial for trial in state.trials] == list(range(1, len(state.trials) + 1))
    assert len({trial.name for trial in state.trials}) == len(state.trials)
    for trial in state.trials:
        assert trial.status in ("trained", "over_limit", "failed", "cancelled")
        if trial.status == "trained":
            assert trial.latency_ms <= settings.latency_ms
            assert trial.accuracy is not None
            assert trial.reward is not None
        else:
            assert trial.reason
    if state.status == "done":
        best = state.trials[state.best - 1]
        assert best.status == "trained"
        assert best.final_accuracy == pytest.approx(best.accuracy + COMPILED)
    if state.status == "failed":
        assert state.error
        assert "\n" not in state.error


@pytest.mark.parametrize("strategy", strategy_names())
def test_a_search_ends_with_the_most_accurate_candidate(strategy):
    settings = replace(SEARCH, strategy=strategy, phases=0)
    state = World().run(settings)
    check_end(state, settings)
    trained = [trial for trial in state.trials if trial.status == "trained"]
    assert state.status == "done"
    assert len(state.trials) == 8
    assert state.trials[state.best - 1].accuracy == max(trial.accuracy for trial in trained)
    at_once = phases_of(make_strategy(strategy, {"depth": 1, "hidden": 1, "ffn": 1}, 0)) == 1
    assert [trial.phase for trial in state.trials] == ([AT_ONCE] * 8 if at_once else [1, 1, 1, 2, 2, 2, 2, 2])


def test_an_event_costs_the_same_however_many_trials_there_were(monkeypatch):
    """The strategy is made once, and the history is told of a trial when it changes: neither reads all trials again."""
    made, told = [], []
    make, tried = search.make_strategy, search._tried
    monkeypatch.setattr(search, "make_strategy", lambda *values: made.append(values) or make(*values))
    monkeypatch.setattr(search, "_tried", lambda trial, latency_ms: told.append(trial.trial) or tried(trial, latency_ms))
    world, under_way = World(), Search(initial_state("r", replace(SEARCH, trials=60, latency_ms=50.0)))
    world.queue += [effect for effect in under_way.take(Start()) if isinstance(effect, Do)]
    while world.queue:
        world.queue += [effect for effect in under_way.take(world.answer(world.queue.pop(0))) if isinstance(effect, Do)]
    assert (under_way.state.status, len(under_way.state.trials), len(made)) == ("done", 60, 1)
    assert len(told) <= 2 * 60


def test_a_search_leaves_the_states_before_an_event_alone():
    world = World()
    state = world.feed(initial_state("r", SEARCH), Start())
    while world.queue:
        before = json.dumps(state.to_json())
        state, older = world.feed(state, world.answer(world.queue.pop(0))), state
        assert json.dumps(older.to_json()) == before


@pytest.mark.parametrize(("strategy", "told"), [("reinforce", True), ("random", False), ("tpe", False)])
def test_the_log_has_what_the_policy_would_choose_after_each_trial(strategy, told):
    world = World()
    state = world.run(replace(SEARCH, strategy=strategy))
    assert len(world.policies) == (len(state.trials) if told else 0)
    for policy, trial in zip(world.policies, state.trials, strict=False):
        kinds = [each["kind"] for each in policy["decisions"]]
        assert kinds == (["depth"] if trial.phase == 1 else ["hidden", *["ffn"] * trial.depth])
        assert [each["chosen"] for each in policy["decisions"]] == trial.choices
        assert all(sum(each["probabilities"]) == pytest.approx(1) for each in policy["decisions"])
        assert all(len(each["options"]) == len(each["probabilities"]) for each in policy["decisions"])
        assert 0 <= policy["entropy"] <= policy["largest_entropy"] + 1e-6
    if strategy == "reinforce":
        assert min(policy["entropy"] / policy["largest_entropy"] for policy in world.policies) < 0.99


def test_a_larger_share_of_the_trials_looks_for_the_depth():
    state = World().run(replace(SEARCH, phase_one_share=0.5))
    assert [trial.phase for trial in state.trials] == [1] * 4 + [2] * 4


def test_phase_two_keeps_the_depth_that_phase_one_found():
    state = World().run(SEARCH)
    first = [trial for trial in state.trials if trial.phase == 1 and trial.status == "trained"]
    best = max(first, key=lambda trial: trial.accuracy)
    depth = len(best.architecture["ffn_sizes"])
    assert {len(trial.architecture["ffn_sizes"]) for trial in state.trials if trial.phase == 2} == {depth}


def test_compilation_and_training_are_asked_for_together_and_training_is_stopped_over_the_limit():
    world = World(latency_ms=lambda architecture: 99.0)
    state = world.feed(initial_state("r", SEARCH), Start())
    state = world.feed(state, world.answer(world.queue.pop()))
    assert [command.kind for command in world.queue] == ["compile", "train"]
    state = world.feed(state, world.answer(world.queue.pop(0)))
    measured = world.answer(next(command for command in world.queue if command.kind == "measure"))
    state, effects = step(state, measured)
    assert Stop("r.1.train") in effects
    assert state.trials[0].status == "over_limit"
    assert state.trials[0].reward == pytest.approx((5 - 99) / 5 - 1)
    assert "99.00 ms is over the limit of 5 ms" in state.trials[0].reason


def test_an_event_changes_nothing_when_it_is_repeated():
    world = World()
    state = world.feed(initial_state("r", SEARCH), Start())
    event = world.answer(world.queue.pop())
    state = world.feed(state, event)
    for repeated in (event, Start()):
        again, effects = step(state, repeated)
        assert again == state
        assert effects == []


def test_step_leaves_its_input_alone():
    state = initial_state("r", SEARCH)
    before = json.dumps(state.to_json())
    step(state, Start())
    assert json.dumps(state.to_json()) == before


def test_nothing_fits_says_the_fastest_seen():
    settings = replace(SEARCH, latency_ms=0.01)
    state = World().run(settings)
    check_end(state, settings)
    assert state.status == "failed"
    fastest = min(state.trials, key=lambda trial: trial.latency_ms)
    assert state.error.startswith(f"no candidate meets 0.01 ms on host: the fastest seen is {fastest.name} at ")
    assert fastest.name == "L1-H256-A8-F384-E384"


def test_when_no_depth_fits_at_full_width_smaller_ones_are_tried():
    """One layer at full width takes 1.43 ms here; only the narrow ones are below 1 ms."""
    settings = replace(SEARCH, latency_ms=0.95)
    state = World().run(settings)
    check_end(state, settings)
    assert state.status == "done"
    assert state.trials[state.best - 1].latency_ms <= 0.95


def test_a_small_space_ends_early():
    settings = replace(SEARCH, depths=(2,), hidden_sizes=(384,), ffn_sizes=(384,), trials=8)
    state = World().run(settings)
    check_end(state, settings)
    assert state.status == "done"
    assert len(state.trials) == 1


def test_sizes_that_the_teacher_does_not_have_fail_the_run():
    state = World().run(replace(SEARCH, depths=(40,)))
    assert state.status == "failed"
    assert "teacher's layers is 6" in state.error


def test_a_failed_command_fails_its_trial_only():
    world = World(failing=lambda command: "TVM crashed" if command.command_id == "r.2.compile" else None)
    state = world.run(SEARCH)
    check_end(state, SEARCH)
    assert state.status == "done"
    assert (state.trials[1].status, state.trials[1].reason) == ("failed", "TVM crashed")


def test_a_failed_preparation_fails_the_run():
    state = World(failing=lambda command: "no such task" if command.kind == "prepare" else None).run(SEARCH)
    assert (state.status, state.error, state.trials) == ("failed", "no such task", [])


def test_when_every_trial_fails_the_run_says_the_first_reason():
    state = World(failing=lambda command: "out of memory" if command.kind == "train" else None).run(SEARCH)
    check_end(state, SEARCH)
    assert state.status == "failed"
    assert "out of memory" in state.error or "over the limit" in state.error or "no candidate meets" in state.error


def test_an_accuracy_that_is_not_a_number_fails_its_trial():
    state = World(accuracy=lambda architecture: float("nan")).run(SEARCH)
    check_end(state, SEARCH)
    assert {trial.status for trial in state.trials} <= {"failed", "over_limit"}


def test_a_bundle_over_the_limit_gives_way_to_the_next_best():
    slow: list[str] = []

    def bundle_ms(architecture):
        if not slow or str(architecture) == slow[0]:
            slow[:] = [str(architecture)]
            return 5.4
        return latency_ms(architecture)

    world = World(bundle_ms=bundle_ms)
    state = world.run(SEARCH)
    check_end(state, SEARCH)
    assert state.status == "done"
    rejected = next(trial for trial in state.trials if trial.name == slow[0])
    assert rejected.status == "over_limit"
    assert rejected.reason == "with trained weights 5.40 ms, over the limit of 5 ms"
    assert rejected.trial != state.best


def test_a_failed_final_training_gives_way_to_the_next_best():
    failed: list[str] = []

    def failing(command: Do) -> str | None:
        if command.kind == "final_train" and not failed:
            failed.append(command.command_id)
            return "disk full"
        return None

    state = World(failing=failing).run(SEARCH)
    check_end(state, SEARCH)
    assert state.status == "done"
    assert "final training failed: disk full" in [trial.reason for trial in state.trials]


def test_the_log_says_what_several_seeds_came_to():
    several, one = ({"pearson": {"seeds": seeds, "mean": 0.81, "deviation": found}} for seeds, found in ((3, 0.004), (1, None)))
    worlds = World(seeds=several), World(seeds=one)
    for world in worlds:
        world.run(SEARCH)
    said = ["".join(line for line in world.said if "compiling the trained model" in line) for world in worlds]
    assert "(over 3 seeds: mean 0.810, deviation 0.004); compiling" in said[0]
    assert "seeds" not in said[1]


def test_when_no_candidate_can_be_finished_the_run_says_why():
    state = World(failing=lambda command: "disk full" if command.kind == "bundle" else None).run(SEARCH)
    check_end(state, SEARCH)
    assert "no candidate could be finished" in state.error
    assert "disk full" in state.error


def test_several_candidates_at_once():
    settings = replace(SEARCH, parallel=3, trials=9)
    most = 0

    def watch(state: SearchState) -> SearchState:
        nonlocal most
        most = max(most, sum(trial.status == "running" for trial in state.trials))
        return state

    state = World().run(settings, each=watch)
    check_end(state, settings)
    assert state.status == "done"
    assert most == 3


@budget(max_examples=40, deadline=None)
@given(
    data=st.data(),
    limit_ms=st.sampled_from([0.05, 0.9, 3.0, 5.0, 50.0]),
    trials=st.integers(1, 9),
    parallel=st.integers(1, 3),
    broken=st.sets(
        st.tuples(st.integers(1, 9), st.sampled_from(["compile", "measure", "train", "final_train", "bundle"])), max_size=4
    ),
)
def test_any_order_repetition_and_failure_ends_consistently(data, limit_ms, trials, parallel, broken):
    settings = Settings(latency_ms=limit_ms, trials=trials, strategy="random", parallel=parallel)
    world = World(failing=lambda command: "broken" if (command.trial, command.kind) in broken else None)
    late: list[Finished] = []

    def stored_and_read_with_late_repetitions(state: SearchState) -> SearchState:
        late.extend(world.answer(command) for command in world.seen[-1:] if command not in world.queue)
        if late and data.draw(st.booleans()):
            again, effects = step(state, data.draw(st.sampled_from(late)))
            assert (again, effects) == (state, [])
        return SearchState.from_json(json.loads(json.dumps(state.to_json())))

    state = world.run(
        settings,
        pick=lambda count: data.draw(st.integers(0, count - 1)),
        cancel_after=data.draw(st.none() | st.integers(0, 30)),
        each=stored_and_read_with_late_repetitions,
    )
    check_end(state, settings)
    ids = [command.command_id for command in world.seen]
    assert len(set(ids)) == len(ids)


@budget(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_same_seed_and_answers_give_the_same_search(seed):
    """Also when the state is written and read between any two steps, as when each is taken by another process."""
    settings = Settings(trials=6, seed=seed)
    one = World().run(settings)
    other = World().run(settings, each=lambda state: SearchState.from_json(json.loads(json.dumps(state.to_json()))))
    assert one == other


def test_cancelling_stops_everything_at_once():
    world = World()
    state = world.feed(initial_state("r", SEARCH), Start())
    state = world.feed(state, world.answer(world.queue.pop()))
    state, effects = step(state, Cancel())
    assert {effect.command_id for effect in effects if isinstance(effect, Stop)} == {"r.1.compile", "r.1.train"}
    assert (state.status, state.trials[0].status) == ("cancelled", "cancelled")
    assert step(state, Cancel()) == (state, [])
