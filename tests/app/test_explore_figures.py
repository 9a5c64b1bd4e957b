"""Figures over many trials: what they draw of few, many, and none."""

from dataclasses import replace

import numpy as np
import pytest
from stories import trial

from app.compare.figures import Latency, Score, kernels_figure, latency_figure, score_figure
from app.drawing import layers_figure
from app.explore.figures import (
    COLUMNS,
    Picture,
    front_figure,
    groups_figure,
    history_figure,
    importance_figure,
    parallel_figure,
)
from app.explore.space_figure import space_figure
from data.explore import Bin, Cell, Group, Point, Share
from engine.architecture import PRESETS, Architecture
from engine.prediction.many import KernelTime

WINDOW = ((0.0, 10.0), (0.4, 0.8))


def point(number, **values):
    made = trial("run", number, **values)
    model = Architecture.parse(made.architecture)
    known = {name: getattr(made, name) for name in Point.__dataclass_fields__ if hasattr(made, name)}
    return Point(**known, layers=model.layers, hidden_size=model.hidden_size, ffn_mean=sum(model.ffn_sizes) / model.layers)


def picture(**values):
    return replace(Picture(WINDOW, [], [], [], [], 5.0, "Pearson"), **values)


def named(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def test_few_trials_are_marks_that_name_their_run():
    figure = front_figure(picture(points=[point(1), point(2)], front=[point(1), point(2)]))
    marks = named(figure)["Within target"]
    assert [facts[:2] for facts in marks.customdata] == [["run", 1], ["run", 2]]
    assert list(named(figure)["On the front"].x) == [3.42, 4.71]
    assert named(figure)["Pareto front"].x[-1] == 5.0


def test_many_trials_are_a_density_with_their_numbers():
    figure = front_figure(picture(cells=[Cell(0, 0, 1), Cell(COLUMNS - 1, 3, 1000)]))
    heat = figure.data[0]
    assert heat.type == "heatmap"
    assert (heat.z[0][0], heat.z[3][COLUMNS - 1], heat.z[1][1]) == (0, 3, None)
    assert heat.customdata[3][COLUMNS - 1] == 1000


def test_trials_without_accuracy_stand_below_and_a_selected_one_is_ringed_there():
    figure = front_figure(picture(unscored=[Bin("over_limit", 5, 3), Bin("failed", 6, 1)], selected=point(3)))
    assert list(figure.layout.yaxis2.ticktext) == ["Failed", "Over target"]
    ring = next(trace for trace in figure.data if trace.type == "scatter" and trace.marker.symbol == "circle-open")
    assert (ring.yaxis, list(ring.x), list(ring.y)) == ("y2", [7.05], [1])
    assert "No trial here has an accuracy." in [note.text for note in figure.layout.annotations]


def test_predicted_latencies_are_open_marks():
    figure = front_figure(picture(points=[point(1, latency_source="predicted"), point(2)]))
    assert list(named(figure)["Within target"].marker.symbol) == ["circle-open", "circle"]


def test_parallel_coordinates_have_a_line_for_each_trial_best_on_top():
    points = sorted(
        (point(number, accuracy=0.5 + number / 100, status="trained") for number in range(1, 9)), key=lambda each: each.accuracy
    )
    figure = parallel_figure(points, "Pearson")
    assert sum(list(trace.x).count(None) for trace in figure.data) == 8
    assert max(y for trace in figure.data for y in trace.y if y is not None) == 1
    assert figure.data[-2].name.endswith("0.580")
    assert [facts[1] for facts in figure.data[-1].customdata] == [7, 8]
    assert not parallel_figure([], "Pearson").data


def test_importance_has_both_values_and_their_errors():
    figure = importance_figure({"Accuracy": [Share("layers", 0.7, 0.05, 4)], "Latency (ms)": []})
    bar = named(figure)["Accuracy"]
    assert dict(zip(bar.y, bar.x, strict=True)) == {"Layers": 0.7, "Hidden size": None, "Mean FFN size": None}
    assert 0.1 in list(bar.error_x.array)


def test_combinations_that_were_not_tried_stay_empty():
    figure = groups_figure([Group(1, 256, 5, 0.5, 0.6), Group(2, 384, 3, 0.7, 0.8)], "Layers", "Hidden size", "Accuracy")
    assert [list(row) for row in figure.data[0].z] == [[0.5, None], [None, 0.7]]


def test_histories_differ_by_colour_and_by_dash():
    figure = history_figure({"a": [(1, 2.0, 0.5), (4, 1.0, 0.6)], "b": [(2, 2.0, 0.4)]}, 4.0)
    assert [list(trace.x) for trace in figure.data] == [[1, 4], [2]]
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == 2


@pytest.mark.parametrize("dark", [False, True])
def test_the_design_space_marks_what_is_under_the_sliders_with_both_intervals(dark):
    models = [PRESETS["minilm-l6"], PRESETS["tinybert-4"], PRESETS["distilbert"]]
    chosen = ("L6-H384-A12-F1536", 2.0, (1.0, 4.0), 0.7, 0.05)
    figure = space_figure(
        models, np.array([2.0, 1.0, 5.0]), np.array([0.7, 0.75, 0.8]), "Accuracy", chosen, front=True, dark=dark
    )
    star = named(figure)["Under the sliders"]
    assert (star.error_x.array[0], star.error_x.arrayminus[0], star.error_y.array[0]) == (2.0, 1.0, 0.05)
    assert list(named(figure)["Best of the sample"].y) == [0.75, 0.8]


def test_an_architecture_is_drawn_on_the_scale_it_is_given():
    figure = layers_figure(Architecture.parse("L2-H256-A4-F1024,512"), 3072, 12)
    assert [list(trace.x) for trace in figure.data] == [[256, 256], [1024, 512]]
    assert figure.layout.xaxis.range[1] > 3072
    assert figure.layout.yaxis.range[1] > 12


def test_sources_of_latency_are_told_apart_by_their_marks():
    rows = [Latency("m", "host", source, 2.0, 1.0, 3.0, "") for source in ("measured", "predicted", "published")]
    assert len(set(latency_figure(rows, ["m"]).data[0].marker.symbol)) == 3


def test_accuracies_show_their_deviation_and_final_ones_are_filled():
    rows = [Score("m", "stsb", "early-stage", 0.7, 0.02, 3), Score("m", "stsb", "final", 0.8, None, 1)]
    marks = score_figure(rows, ["m"]).data[0]
    assert list(marks.error_y.array) == [0.02, 0]
    assert list(marks.marker.symbol) == ["circle-open", "circle"]


def test_kernels_stack_up_to_the_inference():
    figure = kernels_figure([("m", [KernelTime("linear", 24, 2.0), KernelTime("attention", 6, 0.5)])])
    assert sum(trace.x[0] for trace in figure.data) == 2.5


@pytest.mark.parametrize(("columns", "lines"), [(6, False), (30, True)])
def test_few_cells_have_numbers_and_many_contour_lines(columns, lines):
    groups = [Group(x, y, 3, x / 100, x / 90) for x in range(columns) for y in (256, 320, 384)]
    figure = groups_figure(groups, "Layers", "Hidden size", "Accuracy")
    assert [trace.type for trace in figure.data] == (["heatmap", "contour"] if lines else ["heatmap"])
    assert (figure.data[0].texttemplate is None) == lines
