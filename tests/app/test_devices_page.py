"""The Devices page: adding a device, what is known of its latency, and the page itself without a browser."""

import csv
import io
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import source
from app.devices import figures, phones, predictions, shown
from app.devices.estimator import Asked, every
from compiler.devices import device_names, find_device
from data.errors import UsageError
from data.records import Measurement
from data.store import open_store
from engine.architecture import PRESETS, Architecture
from engine.prediction.calibration import Calibration, fit, keep
from engine.prediction.measured import read_measured

ROOT = Path(__file__).resolve().parents[2]
FORM = {
    "title": "My phone",
    "system": "android",
    "soc": "a chip",
    "year": 2025,
    "memory_gb_s": 34.0,
    "l3_kb": 2048,
    "sources": "its maker\n",
}
CLUSTERS = [{"cpu": "cortex-a78", "cores": 4, "mhz": 2400, "l2_kb": 512, "l2_shared": True}]


@pytest.fixture
def home(fresh_home):
    yield fresh_home
    source.store().close()
    st.cache_resource.clear()


def test_a_form_makes_a_device_of_the_catalogue(fresh_home):
    shown.add("my-phone", shown.toml_of(FORM, CLUSTERS))
    assert "my-phone" in device_names()
    found = find_device("my-phone")
    assert (found.title, found.clusters[0].cores, found.clusters[0].l2_shared) == ("My phone", 4, True)
    assert shown.row(found, "predicted")["Cores"] == "4 x cortex-a78 2.40 GHz"
    assert shown.clusters(found)[0]["fp32 GFLOP/s a core"] == pytest.approx(2.4 * 8 * 2)


@pytest.mark.parametrize(
    ("name", "form", "clusters", "message"),
    [
        ("My Phone", {}, CLUSTERS, "is no name for a device"),
        ("galaxy-s20", {}, CLUSTERS, "is in the catalogue"),
        ("mine", {"sources": " \n"}, CLUSTERS, "say where the facts are from"),
        ("mine", {}, [{"cpu": None}], "at least one cluster"),
        ("mine", {}, [{"cpu": "cortex-a78", "cores": 4}], "has no mhz"),
    ],
)
def test_what_is_no_device_is_refused_in_a_line(fresh_home, name, form, clusters, message):
    with pytest.raises(UsageError, match=message):
        shown.add(name, shown.toml_of(FORM | form, clusters))
    assert name == "galaxy-s20" or name not in device_names()


def test_errors_do_not_name_our_folders(fresh_home):
    with pytest.raises(UsageError) as error:
        shown.add("mine", "title = 3")
    assert str(error.value).startswith("mine.toml has no field")


@pytest.fixture
def calibrated(home, tmp_path):
    """galaxy-s20 calibrated on a file of twelve measurements, and one measurement of a search."""
    rows = [{"architecture": f"L{layers}-H{hidden}-A4-F{4 * hidden}", "total_ms": 0.02 * layers * hidden**2 / 1000} for layers in (2, 4, 6) for hidden in (128, 256, 384, 512)]  # fmt: skip
    path = tmp_path / "measured.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    measured = read_measured(path, "galaxy-s20")
    keep(Calibration("galaxy-s20", path.name, {"big": fit("big", measured)}))
    with open_store() as store:
        store.add_measurement(Measurement("L4-H256-A4-F1024", "galaxy-s20", "fp32", 4, 128, 5.0, 4.9, 5.2, 100, "measured"))
        store.add_measurement(Measurement("L4-H256-A4-F1024", "galaxy-s20", "fp32", 4, 128, 5.0, 4.9, 5.2, 0, "predicted"))
        yield store


def test_points_are_held_out_measured_and_published(calibrated):
    found = predictions.points(calibrated, "galaxy-s20")
    kinds = [point.kind for point in found]
    assert kinds.count("held out") == 12
    assert kinds.count("search") == 1
    assert kinds.count("published") > 4
    first = next(point for point in found if point.kind == "held out")
    assert first.name == "L2-H128-A4-F512, 128 tokens"
    assert first.measured_ms == pytest.approx(0.02 * 2 * 128**2 / 1000)
    factor = predictions.factor("galaxy-s20")
    rows = predictions.errors(found, factor)
    assert [row["Points"] for row in rows] == [12, 1, kinds.count("published")]
    assert 0.5 <= rows[0]["In the interval"] <= 1
    assert len(list(csv.reader(io.StringIO(predictions.csv_of(found))))) == len(found) + 1
    figure = figures.accuracy_figure(found, factor)
    assert [trace.name for trace in figure.data][1:3] == ["Equal", "Calibration, held out from the fit"]


def test_one_architecture_on_every_device(fresh_home):
    found = every(Asked(PRESETS["minilm-l6"], 128, None, "fp32", None))
    assert [each.device for each in found] == device_names()
    assert all(each.low_ms < each.latency_ms < each.high_ms for each in found)
    slower = every(Asked(Architecture(384, 12, (1536,) * 12), 128, None, "fp32", None))
    assert all(more.latency_ms > each.latency_ms for more, each in zip(slower, found, strict=True))
    assert len(figures.estimates_figure(found, "host").data[0].x) == len(found)


def test_without_adb_the_page_says_which_package(fresh_home, monkeypatch):
    monkeypatch.setenv("POCKETFORMER_ADB", "no-adb-in-tests")
    assert "install the package adb" in phones.take_look().problem


def devices_page(**query):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page("views/devices.py")
    app.run()
    assert not app.exception, app.exception
    return app


def test_the_page_of_a_phone(calibrated):
    calibrated.close()
    app = devices_page(device="galaxy-s20")
    text = "\n".join(element.value for kind in (app.markdown, app.caption, app.header) for element in kind)
    assert "Samsung Galaxy S20" in text
    assert "Calibrated on: measured" in text.replace("\\", "")
    assert next(metric for metric in app.metric if metric.label == "Predicted latency").value.endswith(" ms")


def test_the_estimator_answers_to_its_sliders(home):
    app = devices_page(device="galaxy-s20")
    before = next(metric.value for metric in app.metric if metric.label == "Parameters")
    app.slider[0].set_value(12).run()
    assert not app.exception
    assert next(metric.value for metric in app.metric if metric.label == "Parameters") != before
    assert "L12-H384" in "\n".join(code.value for code in app.code)


def test_a_device_that_is_not_there_is_said(home):
    app = devices_page(device="nosuch")
    assert "There is no device" in app.error[0].value
