"""The Models page without a browser: what it shows of bundles, whole and damaged."""

import json
from pathlib import Path

import pytest
import stories
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import source
from app.bundles import shelf, snippets
from compiler.archive import write_archive
from data.artifacts import Artifacts
from data.records import ArtifactRef
from data.store import open_store

ROOT = Path(__file__).resolve().parents[2]
TASK = {"name": "pairs", "kind": "classification", "pairs": True, "label_names": ["no", "yes"], "metric": "f1"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """What the page reads of a bundle: its description and its README. (`tests/test_end_to_end.py` has a whole one.)"""
    accuracy = {"split": "dev", "metrics": {"accuracy": 0.9, "f1": 0.85}}
    accuracy["seeds"] = {"f1": {"seeds": 3, "mean": 0.84, "deviation": 0.012}}
    latency = {"median_ms": 1.25, "p10_ms": 1.2, "p90_ms": 1.4, "source": "measured", "threads": 1, "runs": 100}
    sizes = {"architecture": "L3-H256-A8-F768", "precision": "fp32", "seq_len": 64, "outputs": 2, "fusion": {"kernels": 18}}
    model = {**sizes, "device": "host", "system": None, "task": TASK, "accuracy": accuracy, "latency": latency}
    path = tmp_path_factory.mktemp("bundle") / "model.zip"
    return write_archive(path, {"model.json": json.dumps(model).encode(), "README.md": b"# What it is"})


@pytest.fixture
def home(fresh_home, bundle):
    """A store with this bundle and a damaged one."""
    with open_store() as store:
        stories.done(store)
        sha256 = Artifacts().put(bundle, "model.zip", "bundle")
        store.add_artifact(ArtifactRef(sha256, "model.zip", "bundle", bundle.stat().st_size, "20261121-090000-done", 2))
    yield fresh_home
    source.store().close()
    st.cache_resource.clear()


def models_page(**query):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page("views/models.py")
    app.run()
    assert not app.exception, app.exception
    return app


def test_the_shelf_has_every_bundle_with_its_main_metric(home):
    found = shelf.bundles()
    assert len(found) == 2
    whole = next(each for each in found if each.model)
    assert (whole.task, whole.device, whole.metric) == ("pairs", "host", ("f1", 0.85))
    assert shelf.facts(whole)["F1 over 3 seeds"] == "0.840 ± 0.012"
    assert shelf.facts(whole)["Latency"] == "1.25 ms, measured, 1 thread"
    assert "no whole Pocketformer bundle" in next(each.problem for each in found if not each.model)


def test_the_page_shows_the_card_and_the_checksum(home):
    whole = next(each for each in shelf.bundles() if each.model)
    app = models_page(bundle=whole.key)
    assert app.header[0].value == "pairs on host"
    codes = "\n".join(code.value for code in app.code)
    assert whole.artifact.sha256 in codes
    assert "pf_run_text" in codes
    assert next(button.label for button in app.get("download_button")).startswith("Bundle (")


def test_a_damaged_bundle_is_a_line(home):
    broken = next(each for each in shelf.bundles() if not each.model)
    app = models_page(bundle=broken.key)
    assert "no whole Pocketformer bundle" in app.error[0].value


def test_filters_live_in_the_url(home):
    assert models_page(task="pairs").header[0].value == "pairs on host"
    assert "No model has both" in models_page(task="pairs", device="unknown").info[0].value


def test_an_empty_store_points_to_a_search(fresh_home):
    app = models_page()
    assert "No model yet" in app.info[0].value
    source.store().close()
    st.cache_resource.clear()


def test_snippets_fit_the_task_and_the_device():
    phone = {"task": TASK, "system": "android", "device": "galaxy-s20", "latency": {"threads": 4}, "outputs": 2}
    assert "Model.load(4)" in snippets.kotlin(phone)
    assert snippets.kotlin(phone).count('"') == snippets.java(phone).count('"') + 2  # the build's line has one more file name
    assert "no, yes" in snippets.c(phone)
    assert "pocketformer aar b.zip" in snippets.shell(phone, "b.zip")
    assert "NULL" in snippets.c({**phone, "task": {**TASK, "pairs": False}})
