"""What users ask of a search: in any order, repeated or late, it leads to a consistent end."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from test_search import SEARCH, check_end
from worlds import World

from data.errors import UsageError
from engine.control import Drop, Extend, Pause, Resume, request_of
from engine.search import Cancel, SearchState, Start, initial_state, step
from engine.settings import Settings


def begun(world: World, settings: Settings = SEARCH) -> SearchState:
    """A search with its first trial under way."""
    state = world.feed(initial_state("r", settings), Start())
    return world.feed(state, world.answer(world.queue.pop()))


def carry_on(world: World, state: SearchState) -> SearchState:
    while world.queue:
        state = world.feed(state, world.answer(world.queue.pop(0)))
    return state


def test_a_paused_search_takes_results_and_proposes_nothing_until_it_is_resumed():
    world = World()
    state = world.feed(begun(world), Pause(1))
    state = carry_on(world, state)
    assert (state.status, len(state.trials), state.trials[0].status) == ("paused", 1, "trained")
    state = carry_on(world, world.feed(state, Resume(2)))
    check_end(state, SEARCH)
    assert state.status == "done"
    assert len(state.trials) == 8


def test_a_pause_changes_nothing_about_what_is_found():
    world = World()
    state = begun(world)
    for number in (1, 3, 5):
        state = world.feed(state, world.answer(world.queue.pop(0)))
        state = world.feed(world.feed(state, Pause(number)), Resume(number + 1))
    assert [trial.name for trial in carry_on(world, state).trials] == [trial.name for trial in World().run(SEARCH).trials]


def test_a_paused_search_can_be_cancelled():
    world = World()
    state = world.feed(world.feed(begun(world), Pause(1)), Cancel())
    check_end(state, SEARCH)
    assert state.status == "cancelled"


@pytest.mark.parametrize("request_", [Pause(1), Extend(1, 12), Drop(1, 1)], ids=lambda request: type(request).__name__)
def test_a_request_is_taken_once(request_):
    world = World()
    state = world.feed(begun(world), request_)
    again, effects = step(state, request_)
    assert (again, effects) == (state, [])


def test_a_late_pause_does_not_undo_the_resume_after_it():
    world = World()
    state = world.feed(world.feed(begun(world), Pause(1)), Resume(2))
    assert step(state, Pause(1)) == (state, [])


@pytest.mark.parametrize(("limit_ms", "before"), [(5.0, "done"), (0.95, "failed")])
def test_a_run_that_is_over_goes_on_with_more_trials(limit_ms, before):
    settings = replace(SEARCH, latency_ms=limit_ms, trials=1)
    world = World()
    state = carry_on(world, begun(world, settings))
    assert state.status == before
    state = carry_on(world, world.feed(state, Extend(1, 8)))
    check_end(state, replace(settings, trials=8))
    assert (state.status, state.settings["trials"]) == ("done", 8)
    assert 1 < len(state.trials) <= 8


def test_an_extended_run_whose_best_stays_has_its_bundle_already():
    settings = replace(SEARCH, depths=(2,), hidden_sizes=(384,), ffn_sizes=(384,), trials=2)
    world = World()
    state = carry_on(world, begun(world, settings))
    asked = len(world.seen)
    state = carry_on(world, world.feed(state, Extend(1, 6)))
    assert (state.status, state.best, len(world.seen)) == ("done", 1, asked)
    assert "is still the best" in world.said[-1]


def test_extending_during_the_final_training_gives_it_up_for_new_commands():
    world = World()
    state = begun(world, replace(SEARCH, trials=2))
    while world.queue[0].kind != "final_train":
        state = world.feed(state, world.answer(world.queue.pop(0)))
    given_up = world.queue[0].command_id
    state = world.feed(state, Extend(1, 5))
    assert given_up not in state.pending
    state = carry_on(world, state)
    check_end(state, replace(SEARCH, trials=5))
    ids = [command.command_id for command in world.seen]
    assert len(set(ids)) == len(ids)


def test_a_cancelled_run_goes_on_and_keeps_what_it_lost():
    world = World()
    state = world.feed(begun(world), Cancel())
    world.queue.clear()
    state = carry_on(world, world.feed(state, Extend(1, 10)))
    check_end(state, replace(SEARCH, trials=10))
    assert state.status == "done"
    assert state.trials[0].status == "cancelled"


def test_a_run_that_ended_before_its_first_trial_is_not_extended():
    world = World(failing=lambda command: "no such task" if command.kind == "prepare" else None)
    state = world.run(SEARCH)
    state = world.feed(state, Extend(1, 20))
    assert (state.status, state.settings["trials"]) == ("failed", 8)
    assert "Not extended" in world.said[-1]


def test_fewer_trials_than_there_are_change_nothing():
    world = World()
    state = begun(world)
    assert world.feed(state, Extend(1, 8)) == replace(state, requests=1)


def test_a_dropped_candidate_is_stopped_and_the_next_one_begins():
    world = World()
    state = world.feed(begun(world), Drop(1, 1, "too wide"))
    trial = state.trials[0]
    assert (trial.status, trial.reason) == ("cancelled", "dropped by the user: too wide")
    assert [command.trial for command in world.queue] == [2, 2]
    check_end(carry_on(world, state), SEARCH)


def test_a_dropped_best_candidate_gives_way_to_the_next_best():
    world = World()
    state = begun(world)
    while world.queue[0].kind != "final_train":
        state = world.feed(state, world.answer(world.queue.pop(0)))
    best = world.queue[0].trial
    state = carry_on(world, world.feed(state, Drop(1, best)))
    check_end(state, SEARCH)
    assert state.status == "done"
    assert state.best != best
    assert state.trials[best - 1].reason == "dropped by the user"


@pytest.mark.parametrize("trial", [0, 99, -1])
def test_dropping_no_candidate_changes_nothing(trial):
    world = World()
    state = begun(world)
    assert world.feed(state, Drop(1, trial)) == replace(state, requests=1)


def test_an_unknown_request_is_refused():
    with pytest.raises(UsageError, match="unknown request 'dance'"):
        request_of(1, "dance", {})
    with pytest.raises(UsageError, match="extend"):
        request_of(1, "extend", {"trail": 3})


@budget(max_examples=12, deadline=None)
@given(data=st.data(), limit_ms=st.sampled_from([0.05, 0.9, 3.0, 50.0]), parallel=st.integers(1, 3))
def test_any_order_of_requests_and_results_ends_consistently(data, limit_ms, parallel):
    settings = Settings(latency_ms=limit_ms, trials=4, strategy="random", parallel=parallel)
    world, number = World(), 0
    state = world.feed(initial_state("r", settings), Start())
    while world.queue or state.status == "paused":
        if number < 8 and (not world.queue or data.draw(st.booleans())):
            number += 1
            made = st.sampled_from(
                [Pause(number), Resume(number), Extend(number, 4 + number // 2), Drop(number, data.draw(st.integers(1, 6)))]
            )
            state = world.feed(state, data.draw(made))
        elif world.queue:
            state = world.feed(state, world.answer(world.queue.pop(data.draw(st.integers(0, len(world.queue) - 1)))))
        else:
            number += 1
            state = world.feed(state, Resume(number))
        state = SearchState.from_json(json.loads(json.dumps(state.to_json())))
    check_end(state, Settings.from_dict(state.settings))
    ids = [command.command_id for command in world.seen]
    assert len(set(ids)) == len(ids)
