"""Explore, Design space and Compare without a browser, on a store with runs in every state."""

import pytest
import stories
from streamlit.testing.v1 import AppTest
from test_pages import DONE, ROOT, checked, labelled, numbers, written

from app import source
from app.explore import compiling
from app.explore.compiling import Wanted
from compiler import profiles
from data.explore import Chosen


def shown(name, **query):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    app.switch_page(f"views/{name}.py")
    return checked(app.run())


def test_explore_counts_the_trials_of_all_runs_of_a_subject(home):
    app = shown("explore", task="stsb", device="host")
    assert numbers(app)["Trials"] == "14"
    assert numbers(app)["Best Pearson"] == "0.772"
    assert numbers(app)["Its latency"] == "4.71 ms"


def test_the_url_filters_and_bounds(home):
    app = shown("explore", task="stsb", device="host", runs=[DONE], layers=["3", "4"], limit="4.2")
    assert numbers(app)["Trials"] == "7 of 8"
    assert numbers(app)["Best Pearson"] == "0.768"


def test_a_trial_in_the_url_says_why_it_was_dropped(home):
    app = shown("explore", task="stsb", device="host", trial=f"{DONE}/3")
    assert "**Trial 3**" in written(app)
    assert "over the limit of 5 ms" in written(app).replace("\\", "")


@pytest.mark.parametrize(("task", "trials"), [("cola", "8"), ("mrpc", "3")])
def test_where_nothing_was_feasible_there_are_no_numbers_and_no_trace(home, task, trials):
    app = shown("explore", task=task, device="host")
    assert numbers(app)["Hypervolume"] == "–"
    assert numbers(app)["Trials"] == trials


@pytest.mark.parametrize(
    ("task", "tab"),
    [("stsb", "Parallel coordinates"), ("stsb", "Hypervolume"), ("stsb", "Table"), ("mrpc", "Hypervolume"), ("mrpc", "Table")],
)
def test_every_tab_on_good_and_on_failed_runs(home, task, tab):
    shown("explore", task=task, device="host", show=tab)


def test_a_rerun_asks_the_store_nothing_again(home, monkeypatch):
    from data.store import Store

    app = shown("explore", task="stsb", device="host")
    monkeypatch.setattr("app.explore.asking.FRESH_S", 60)
    asked = []
    query = Store.query
    monkeypatch.setattr(Store, "query", lambda self, script, **values: asked.append(script) or query(self, script, **values))
    checked(app.run())
    assert not [script for script in asked if "chosen AS" in script]


def test_an_empty_store_leads_to_the_design_space(empty):
    assert "No trials yet" in written(shown("explore"))


def test_the_csv_has_every_chosen_trial(home):
    from app.explore.trials import csv_text

    lines = csv_text(source.store(), Chosen("stsb", "host", runs=(DONE,))).decode().splitlines()
    assert lines[0].startswith("run_id,trial,architecture,status,latency_ms")
    assert len(lines) == 9


def test_the_design_space_shows_flops_where_no_accuracy_is_known(empty):
    app = shown("space", task="cola", device="galaxy-s20", architecture="L3-H384-A12-F768")
    assert numbers(app)["Parameters"] == "15.5 M"
    assert numbers(app)["Matthews"] == "–"
    assert "FLOPs stand in its place" in written(app)
    assert float(numbers(app)["Latency, predicted"].split()[0]) > 0


def test_the_design_space_learns_accuracy_from_trials_and_says_so(empty):
    store = source.store()
    stories.begin(store, "many", device="galaxy-s20")
    sizes = [(layers, hidden, ffn) for layers in (1, 2, 3, 4) for hidden in (256, 384) for ffn in (384, 1536)]
    trials = [
        stories.trial("many", number, architecture=f"L{layers}-H{hidden}-A{hidden // 32}-F{ffn}" + ("-E384" if hidden < 384 else ""),
                      status="trained", latency_ms=2.0, accuracy=0.4 + 0.1 * layers + hidden / 4000)
        for number, (layers, hidden, ffn) in enumerate(sizes, 1)
    ]  # fmt: skip
    stories.step(store, "many", "done", trials=trials)
    app = shown("space", task="stsb", device="galaxy-s20", architecture="L5-H384-A12-F768")
    assert "learned from 16 architectures" in written(app)
    assert "±" in numbers(app)["Pearson, learned"]
    tried = shown("space", task="stsb", device="galaxy-s20", architecture="L3-H384-A12-F384")
    assert numbers(tried)["Pearson"] == "0.796"


def test_sliders_build_an_architecture_and_the_url_names_it(empty):
    app = shown("space", architecture="L4-H384-A12-F768")
    checked(labelled(app.slider, "Layers").set_value(2).run())
    assert app.query_params["architecture"] == "L2-H384-A12-F768"
    checked(labelled(app.toggle, "An FFN size for each layer").set_value(True).run())
    checked(labelled(app.slider, "FFN size, layer 2").set_value(1536).run())
    assert app.query_params["architecture"] == "L2-H384-A12-F768,1536"


def test_an_architecture_that_is_none_of_the_space_is_told(empty):
    app = shown("space", architecture="L99-H384-A12-F768")
    assert "L99" in app.warning[0].value
    assert numbers(app)["Kernels"]


def test_training_from_the_design_space_is_a_search_of_one(empty, started):
    app = shown("space", task="cola", device="galaxy-s20", architecture="L2-H384-A12-F768,1536")
    checked(labelled(app.button, "Start training").click().run())
    assert (started[0].architecture, started[0].task, started[0].trials) == ("L2-H384-A12-F768,1536", "cola", 1)
    assert app.query_params["run"] == "20261121-100000-abcd"


def test_a_compilation_that_fails_says_so_in_its_last_line(empty):
    import time

    wanted = Wanted("L2-H384-A12-F768", "no-such-phone", "fp32")
    assert compiling.state(wanted).name == "none"
    compiling.begin(wanted)
    deadline = time.monotonic() + 60
    while compiling.state(wanted).name == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    state = compiling.state(wanted)
    assert state.name == "failed"
    assert "no-such-phone" in state.line


def test_a_compilation_that_is_cancelled_leaves_nothing(empty):
    wanted = Wanted("L1-H256-A4-F256", "host", "fp32")
    compiling.begin(wanted)
    assert compiling.state(wanted).name == "running"
    compiling.cancel(wanted)
    assert compiling.state(wanted).name == "none"
    assert not list(wanted.folder.iterdir())


def test_compare_puts_presets_strings_and_trials_side_by_side(home):
    app = shown("compare", models=["minilm-l6", "L2-H384-A12-F768", f"{DONE}/2"], devices=["galaxy-s20"])
    text = written(app)
    assert "**minilm\\-l6**" in text
    assert "L4\\-H384\\-A12\\-F1536" in text
    assert len(app.get("plotly_chart")) == 3 + 3


def test_compare_tells_what_it_cannot_read(home):
    app = shown("compare", models=["nonsense", "minilm-l6", f"{DONE}/99"], devices=["galaxy-s20"])
    assert len(app.warning) == 2
    assert "nonsense" in app.warning[0].value


def test_measured_kernel_times_stand_beside_predicted_ones(empty):
    from app.compare import facts
    from app.compare.entries import entry_of

    calls = [("layers.0.qkv", 100.0), ("layers.0.attention", 40.0), ("layers.0.attention_output", 30.0), ("embedding", 5.0)]
    profiles.keep(profiles.Profile("L1-H256-A4-F256", "host", "fp32", 128, 2, 0.2, calls))
    found = facts.profile(entry_of("L1-H256-A4-F256"), "host", "fp32")
    assert [(each.kind, each.calls) for each in found] == [("linear", 2), ("attention", 1), ("embedding", 1)]
    assert found[0].ms == pytest.approx(0.13)
    assert facts.profile(entry_of("minilm-l6"), "host", "fp32") is None
