"""The Pareto figure: what it draws in each state of a run, told apart by symbol and by colour."""

from dataclasses import replace

import pytest
from stories import trial

from app import theme
from app.figures import STRIP_ROW, look_of, pareto_figure, wrapped

RUN = "run"
TARGET_MS = 5.0


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def texts_of(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def draw(trials, front=None, **options):
    front = [each for each in trials if each.accuracy is not None] if front is None else front
    return pareto_figure(trials, front, TARGET_MS, "pearson", **options)


def test_no_trials_says_so_and_shows_the_target():
    figure = draw([])
    assert "No latency yet. The first candidate is on its way." in texts_of(figure)
    assert "target 5 ms" in texts_of(figure)
    assert "No candidate got as far as a latency." in texts_of(draw([], over=True))
    assert not traces(figure)
    assert figure.layout.xaxis.range[1] > TARGET_MS


def test_states_differ_in_symbol_and_in_colour():
    looks = [theme.TRAINED, theme.FINAL, theme.OVER_LIMIT, theme.FAILED, theme.ACTIVE, theme.CANCELLED]
    assert (
        len({look.symbol for look in looks}) == len({look.color for look in looks}) == len({look.label for look in looks}) == 6
    )


def test_trained_trials_are_points_with_their_interval():
    trials = [trial(RUN, 1), trial(RUN, 2)]
    points = traces(draw(trials))["Within target"]
    assert list(points.x) == [3.42, 4.71]
    assert list(points.y) == [0.731, 0.772]
    assert points.error_x.array[0] == pytest.approx(trials[0].latency_p90_ms - trials[0].latency_ms)
    assert points.error_x.arrayminus[0] == pytest.approx(trials[0].latency_ms - trials[0].latency_p10_ms)
    assert [facts[0] for facts in points.customdata] == [1, 2]


def test_over_target_trials_lie_in_the_strip_and_claim_no_accuracy():
    figure = draw([trial(RUN, 1), trial(RUN, 3)])
    strip = traces(figure)["Over target"]
    assert strip.yaxis == "y2"
    assert list(strip.y) == ["Over target"]
    assert figure.layout.yaxis2.domain[1] == pytest.approx(STRIP_ROW)
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]


def test_all_over_target_still_has_axes_and_no_front():
    figure = draw([trial(RUN, 3), replace(trial(RUN, 3), trial=4, latency_ms=9.5, latency_p90_ms=10.0)])
    assert "Pareto front" not in traces(figure)
    assert figure.layout.xaxis.range[1] > 10.0
    assert tuple(figure.layout.yaxis.range) == (0.0, 1.0)
    assert "No accuracy yet." in texts_of(figure)
    assert "No candidate within the target." in texts_of(draw([trial(RUN, 3)], over=True))


def test_one_trial_has_an_axis_with_air():
    low, high = draw([trial(RUN, 1)]).layout.yaxis.range
    assert low < 0.731 < high
    assert high - low >= 0.1 - 1e-9


def test_front_is_a_step_line_up_to_the_target():
    trials = [trial(RUN, 2), trial(RUN, 6), trial(RUN, 1)]
    line = traces(draw(trials))["Pareto front"]
    assert line.line.shape == "hv"
    assert list(line.x) == [2.24, 3.42, 4.71, TARGET_MS]
    assert list(line.y) == [0.581, 0.731, 0.772, 0.772]


def test_final_accuracy_is_a_mark_of_its_own():
    final = traces(draw([replace(trial(RUN, 2), final_accuracy=0.781)]))["Trained to the end"]
    assert list(final.y) == [0.781]
    assert final.customdata[0][4] == "final pearson"


def test_failed_and_running_have_rows_in_the_strip():
    failed = replace(trial(RUN, 1), status="failed", accuracy=None, reason="the clock was unstable")
    running = replace(trial(RUN, 2), status="running", accuracy=None)
    figure = draw([failed, running])
    assert list(figure.layout.yaxis2.categoryarray) == ["Failed", "In progress"]
    assert traces(figure)["Failed"].customdata[0][6] == "the clock was unstable"


def test_a_trial_without_latency_is_not_drawn():
    assert not traces(draw([replace(trial(RUN, 1), latency_ms=None, accuracy=None, status="failed")]))


def test_the_source_is_told_by_an_open_symbol_and_in_the_hover():
    points = traces(draw([trial(RUN, 1), replace(trial(RUN, 2), latency_source="predicted")]))["Within target"]
    assert list(points.marker.symbol) == ["circle", "circle-open"]
    assert points.customdata[0][3].startswith("measured")
    assert points.customdata[1][3].startswith("predicted (90 % interval: ")
    assert "(p10 to p90: " in points.customdata[0][3]


@pytest.mark.parametrize(("number", "axis"), [(1, "y"), (3, "y2")])
def test_the_selected_trial_is_ringed_where_it_stands(number, axis):
    ring = traces(draw([trial(RUN, 1), trial(RUN, 3)], selected=number))["Selected"]
    assert (ring.yaxis or "y") == axis
    assert len(ring.x) == 1


def test_an_unknown_selection_draws_no_ring():
    assert "Selected" not in traces(draw([trial(RUN, 1)], selected=99))


def test_a_measurement_without_interval_has_a_bar_of_no_length():
    bare = replace(trial(RUN, 1), latency_p10_ms=None, latency_p90_ms=None)
    bars = traces(draw([bare]))["Within target"].error_x
    assert list(bars.array) == list(bars.arrayminus) == [0.0]


def test_light_and_dark_ink_differ():
    assert draw([]).layout.font.color != draw([], dark=True).layout.font.color


def test_every_status_of_the_store_has_a_look():
    from data.records import TRIAL_STATUSES

    assert {look_of(replace(trial(RUN, 1), status=status)).label for status in TRIAL_STATUSES} == {
        "Within target", "Over target", "Failed", "In progress", "Cancelled",
    }  # fmt: skip


def test_hover_text_is_broken_and_shortened_and_has_no_tags():
    text = wrapped("<b>word</b> " * 100, width=40)
    assert "<b>" not in text
    assert text.count("<br>") == 3
    assert text.endswith("…")
    assert wrapped("") == ""


def test_in_a_crowd_the_front_alone_has_bars_and_the_axis_ends_at_what_is_drawn():
    crowd = [replace(trial(RUN, 1), trial=number, latency_ms=1 + number / 50, latency_p90_ms=100.0) for number in range(1, 101)]
    over = [replace(trial(RUN, 3), trial=number, latency_ms=6.0, latency_p90_ms=100.0) for number in range(101, 200)]
    front = [replace(crowd[0], latency_p90_ms=8.0)]
    crowd[0] = front[0]
    figure = draw([*crowd, *over], front)
    behind, best = [trace for trace in figure.data if trace.name == "Within target"]
    assert (len(behind.x), len(best.x)) == (99, 1)
    assert behind.error_x.array is None
    assert list(best.error_x.array) == [pytest.approx(8.0 - 1.02)]
    assert [trace.showlegend for trace in (behind, best)] == [False, True]
    assert figure.layout.xaxis.range[1] == pytest.approx(1.08 * 8.0)


def test_margins_are_given_so_that_plotly_draws_once():
    figure = draw([trial(RUN, 1), trial(RUN, 3)])
    assert not any(axis.automargin for axis in (figure.layout.xaxis, figure.layout.yaxis, figure.layout.yaxis2))
    assert figure.layout.margin.l >= 72
