"""The pages without a browser: Streamlit runs them on a store that the tests have filled."""

import subprocess
import sys
from pathlib import Path

from browser import environment_of
from streamlit.testing.v1 import AppTest

from app import source

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "tvm", "transformers", "datasets", "optuna", "accelerate")
DONE, LIVE, FRESH = "20261121-090000-done", "20261121-091000-live", "20261121-092000-newb"
ONCE, SLOW, FAILED, STOPPED = "20261121-093000-once", "20261121-094000-slow", "20261121-095000-fail", "20261121-096000-stop"


def run_page(run_id=None, **query):
    """The Run page, as the URL asks for it."""
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    if run_id is not None:
        app.query_params["run"] = run_id
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page("views/run.py")
    return checked(app.run())


def search_page(**query):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page("views/search.py")
    return checked(app.run())


def page_of(name):
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
    app.switch_page(f"views/{name}.py")
    return checked(app.run())


def checked(app):
    assert not app.exception, app.exception
    return app


def written(app):
    """All plain text of a page."""
    kinds = (app.markdown, app.caption, app.error, app.warning, app.info, app.title, app.subheader)
    return "\n".join(element.value for kind in kinds for element in kind)


def numbers(app):
    return {metric.label: metric.value for metric in app.metric}


def labelled(elements, label):
    return next(element for element in elements if element.label == label)


def test_search_is_prefilled_so_that_start_works(home):
    from engine.settings import Settings

    app, given = search_page(), Settings()
    assert labelled(app.selectbox, "Task").value == given.task
    assert labelled(app.selectbox, "Device").value == given.device
    assert labelled(app.number_input, "Latency target (ms)").value == given.latency_ms
    assert labelled(app.number_input, "Trials").value == given.trials
    assert labelled(app.selectbox, "Strategy").value == given.strategy
    assert not app.error


def test_the_url_prefills_search_and_a_wrong_value_in_it_does_no_harm(home):
    app = search_page(task="cola", latency_ms="7.5", trials="many", seed="-3")
    assert labelled(app.selectbox, "Task").value == "cola"
    assert labelled(app.number_input, "Latency target (ms)").value == 7.5
    assert labelled(app.number_input, "Trials").value == 8
    assert labelled(app.number_input, "Seed").value == 0


def test_a_run_and_a_preset_prefill_search(home):
    app = search_page(like=SLOW, preset="thorough")
    assert labelled(app.selectbox, "Task").value == "cola"
    assert labelled(app.number_input, "Latency target (ms)").value == 1.0
    assert labelled(app.number_input, "Trials").value == 40
    assert "As in run" in written(app)
    assert "cannot be taken as a start" in written(search_page(like="nope"))


def test_search_says_what_to_expect_before_start(home):
    app = search_page(task="stsb", device="galaxy-s20")
    text = written(app)
    assert "of the space is within" in text
    assert "not calibrated" in text
    assert ":material/timer: About" in text
    assert "hidden size 384" in text
    command = next(code.value for code in app.code if code.value.startswith("pocketformer"))
    assert "--task stsb --device galaxy-s20 --latency-ms 5" in command


def test_the_slider_and_the_number_are_one_target(home):
    app = search_page()
    checked(app.slider[0].set_value(7.5).run())
    assert labelled(app.number_input, "Latency target (ms)").value == 7.5


def test_home_shows_the_newest_front_under_way_the_runs_and_the_system(home):
    app = page_of("home")
    text = written(app)
    assert app.title[0].value == "Pocketformer"
    assert "Now: stsb on host" in text
    assert "Pearson **0.781** at **4.71 ms**" in text
    assert "pocketformer serve" in text


def test_home_explains_itself_where_there_is_no_run(empty):
    text = written(page_of("home"))
    assert "How it works" in text
    assert "No runs yet" in text


def test_settings_removes_a_run_after_a_confirmation_and_refuses_one_under_way(home):
    app = page_of("settings")
    chosen = app.multiselect[0].options
    done = next(option for option in chosen if option.startswith(DONE))
    checked(app.multiselect[0].set_value([DONE]).run())
    assert done
    checked(labelled(app.button, "Yes").click().run())
    assert DONE not in [run.run_id for run in source.store().runs()]
    checked(app.multiselect[0].set_value([LIVE]).run())
    assert "under way: cancel first" in written(app)


def test_devices_that_are_not_here_are_marked_as_predicted(home):
    device = labelled(search_page(device="galaxy-s20").selectbox, "Device")
    assert device.value == "galaxy-s20"
    assert "host" in device.options
    assert "galaxy-s20 · latency predicted" in device.options


def test_recent_runs_tell_status_accuracy_and_latency(home):
    text = written(search_page())
    assert "Pearson **0.781** at **4.71 ms**" in text
    assert "No candidate within the target · 3 trials of 8" in text


def test_search_says_that_no_workers_run(home):
    assert "pocketformer serve" in written(search_page())


def test_an_empty_store_has_a_form_and_no_runs(empty):
    app = search_page()
    assert "No runs yet" in written(app)
    assert labelled(app.button, "Start")


def test_start_creates_the_run_and_shows_it(empty, started):
    app = search_page(task="cola", latency_ms="4")
    labelled(app.text_input, "Unlabelled text (optional)").set_value(" /data/text.gz ")
    checked(labelled(app.button, "Start").click().run())
    assert (started[0].task, started[0].latency_ms, started[0].text) == ("cola", 4.0, "/data/text.gz")
    assert app.query_params["run"] == "20261121-100000-abcd"
    assert app.title[0].value == "cola on host"


def test_several_tasks_and_a_logits_teacher_go_into_the_run(empty, started):
    app = search_page(task="mrpc,stsb", logits_teacher="some/classifier")
    assert labelled(app.selectbox, "Task").value == "mrpc"
    assert labelled(app.multiselect, "Further tasks for the same model").value == ["stsb"]
    assert [each.label for each in app.toggle] == ["Show sample rows of mrpc", "Show sample rows of stsb"]
    checked(labelled(app.multiselect, "Further tasks for the same model").set_value(["stsb", "cola"]).run())
    checked(labelled(app.button, "Start").click().run())
    assert (started[0].task, started[0].logits_teacher) == ("mrpc,stsb,cola", "some/classifier")
    assert app.title[0].value.replace("\\", "") == "mrpc + stsb + cola on host"


def test_a_latency_target_of_zero_is_refused_in_one_line(empty):
    app = search_page()
    labelled(app.number_input, "Latency target (ms)").set_value(0.0)
    checked(labelled(app.button, "Start").click().run())
    assert len(app.error) == 1
    assert "above 0" in app.error[0].value
    assert not source.store().runs()


def test_an_unknown_teacher_is_refused_and_nothing_is_written(empty):
    app = search_page(teacher="/no/such/folder")
    checked(labelled(app.button, "Start").click().run())
    assert len(app.error) == 1
    assert "/no/such/folder" in app.error[0].value.replace("\\", "")
    assert not source.store().runs()


def test_own_file_asks_for_columns_and_names_the_task(empty, tmp_path):
    (tmp_path / "reviews.csv").write_text("id,body,stars\n1,fine,5\n")
    app = search_page()
    checked(labelled(app.selectbox, "Task").set_value("own file").run())
    checked(labelled(app.text_input, "File, or folder with train and dev files").set_value(str(tmp_path / "reviews.csv")).run())
    assert labelled(app.selectbox, "Text column").value == "body"
    assert labelled(app.selectbox, "Label column").value == "stars"


def test_own_file_without_a_file_is_told_at_start(empty):
    app = search_page()
    checked(labelled(app.selectbox, "Task").set_value("own file").run())
    checked(labelled(app.button, "Start").click().run())
    assert "upload one" in app.error[0].value


def test_sample_rows_and_the_balance_of_labels_on_request(empty):
    app = search_page(task="paraphrase")
    assert "development examples" not in written(app)
    checked(app.toggle[0].set_value(True).run())
    assert "development examples. Labels: " in written(app)
    assert list(app.dataframe[0].value.columns) == ["Label", "Text", "Second text"]


def test_a_long_run(empty):
    import stories

    run_id = stories.many(source.store())
    app = run_page(run_id)
    assert numbers(app)["Trials"] == "300 of 300"


def test_a_done_run_shows_its_best_model_and_offers_the_bundle(home):
    app = run_page(DONE)
    assert numbers(app)["Final Pearson"] == "0.781"
    assert numbers(app)["Its latency"] == "4.71 ms"
    assert numbers(app)["Trials"] == "8 of 8"
    assert "**Trial 2**" in written(app)
    assert [button.label for button in app.get("download_button")] == ["Download bundle (0.0 MB)", "CSV", "CSV"]
    assert not any(button.label == "Yes, cancel it" for button in app.button)


def test_a_folded_table_is_drawn_when_it_is_unfolded_and_not_before(home):
    def settings(app):
        return [each for each in app.dataframe if "Setting" in each.value.columns]

    app = run_page(DONE)
    assert not settings(app)
    app.session_state["folded Settings of this run"] = True
    app.run()
    (table,) = settings(checked(app))
    assert "teacher" in list(table.value["Setting"])


def test_what_the_policy_learned_is_shown_where_the_strategy_has_one(home):
    import stories

    def figures(app):
        return labelled(app.get("button_group"), "Figure").options

    assert figures(run_page(DONE)) == ["Reward and accuracy", "Policy", "Timeline"]
    assert "Entropy of the decisions" in written(run_page(DONE, course="Policy"))
    assert "newest 1 command" in written(run_page(DONE, course="Timeline"))
    assert figures(run_page(stories.fresh(source.store(), "20261121-098000-none"))) == ["Reward and accuracy", "Timeline"]


def test_the_trial_in_the_url_is_shown(home):
    text = written(run_page(DONE, trial="3"))
    assert "**Trial 3**" in text
    assert "Why it was dropped" in text
    assert "**Trial 2**" in written(run_page(DONE, trial="99"))
    assert "**Trial 2**" in written(run_page(DONE, trial="x"))


def test_a_running_run_shows_its_step_and_can_be_cancelled(home):
    app = run_page(LIVE)
    assert "4 of 8" in numbers(app)["Trials"]
    checked(labelled(app.button, "Yes, cancel it").click().run())
    assert source.store().run(LIVE).status == "cancelling"
    assert "Cancelling" in written(app)


def test_a_running_run_can_be_paused_and_extended(home):
    app = run_page(LIVE)
    checked(labelled(app.button, "Pause").click().run())
    labelled(app.number_input, "Trials in all").set_value(20)
    checked(labelled(app.button, "Extend").click().run())
    assert [(each.kind, each.values) for each in source.store().requests(LIVE)] == [("pause", {}), ("extend", {"trials": 20})]


def test_a_paused_run_says_so_and_can_be_resumed(home):
    import stories

    stories.step(source.store(), LIVE, "paused")
    app = run_page(LIVE)
    assert "Paused. Nothing is proposed" in written(app)
    assert "Nothing has worked on this run" not in written(app)
    checked(labelled(app.button, "Resume").click().run())
    assert [each.kind for each in source.store().requests(LIVE)] == ["resume"]


def test_a_candidate_under_way_can_be_dropped_with_a_reason(home):
    app = run_page(LIVE, trial="5")
    labelled(app.text_input, "Why (optional)").set_value("too wide")
    checked(labelled(app.button, "Yes, drop it").click().run())
    assert source.store().requests(LIVE)[0].values == {"trial": 5, "reason": "too wide"}
    assert "Yes, drop it" not in [button.label for button in run_page(LIVE, trial="3").button]


def test_a_run_that_is_over_can_be_extended_and_nothing_else(home):
    labels = [button.label for button in run_page(DONE).button]
    assert "Extend" in labels
    assert not {"Pause", "Resume", "Yes, cancel it", "Yes, drop it"} & set(labels)


def test_a_run_without_trials(home):
    app = run_page(FRESH)
    assert numbers(app)["Best F1"] == "–"
    assert "No trials yet" in written(app)


def test_one_trial(home):
    app = run_page(ONCE)
    assert numbers(app)["Best Pearson"] == "0.731"
    assert "cancelled" in written(app)


def test_all_over_target_shows_the_fastest_and_the_advice(home):
    app = run_page(SLOW)
    assert "no candidate meets 1 ms" in written(app).replace("\\", "")
    assert "**Trial 6**" in written(app)


def test_all_failed_shows_why(home):
    assert "differs from torch" in run_page(FAILED).error[0].value
    assert "Why it failed" in written(run_page(FAILED))


def test_cancelled(home):
    assert "kept below" in written(run_page(STOPPED))


def test_an_unknown_run_says_so_and_lists_those_there_are(home):
    app = run_page("nope")
    assert "nope" in app.error[0].value
    assert "Pearson **0.781**" in written(app)


def test_no_run_in_the_url_lists_the_runs(home):
    app = run_page()
    assert "Choose a run" in written(app)
    assert not app.error


def test_markdown_in_a_runs_name_and_reason_stays_text(home):
    store = source.store()
    store.create_run("20261121-110000-evil", {"task": "/a/**b**[x](y).csv?text=a&label=b", "latency_ms": 5.0, "trials": 1}, {})
    app = run_page("20261121-110000-evil")
    assert r"\*\*b\*\*\[x\]" in app.title[0].value


def test_a_store_that_cannot_be_opened_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "store.duckdb").write_text("this is no store")
    monkeypatch.setenv("POCKETFORMER_HOME", str(tmp_path))
    app = search_page()
    assert app.error
    assert "\n" not in app.error[0].value


def test_the_first_page_needs_nothing_heavy(told):
    """Both pages start in a fresh process without the libraries that train and compile."""
    script = (
        "import os, sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file(sys.argv[1], default_timeout=60)\n"
        "app.run()\n"
        "assert app.title[0].value == 'Pocketformer' and not app.exception\n"
        f"print(','.join(sorted(set({HEAVY!r}) & set(sys.modules))))\n"
    )
    command = [sys.executable, "-c", script, str(ROOT / "app" / "main.py")]
    done = subprocess.run(command, cwd=ROOT, env=environment_of(told), capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == ""
