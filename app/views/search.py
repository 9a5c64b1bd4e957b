"""The Search page: what to look for, prefilled so that Start works at once, and the runs so far."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from app import catalogue, health, own_file, recent, source, wording
from app.catalogue import OWN_FILE
from compiler.targets import precisions_of
from data.errors import PocketformerError, TaskError, UsageError
from data.tasks import part_names
from engine.settings import ACCURACIES, LOSSES, SCHEDULES, Settings
from engine.strategies import strategy_names

SAMPLE_ROWS = 4
FURTHER_MS = 40.0  # a further device's target, to begin with: a phone of the catalogue, predicted, runs small students in it
LIMITS = {
    "model_mb": ("Largest model (MB)", "Weights in the bundle. Known before a candidate is compiled."),
    "memory_mb": ("Most memory (MB)", "Resident memory of the process that runs the model, where it is measured."),
    "energy_mj": ("Most energy (mJ)", "Of one inference, predicted from the device's power, where that is known."),
}
SPACE = {
    "depths": ("Layers", "2, 3, 4"),
    "hidden_sizes": ("Hidden sizes", "256, 384"),
    "ffn_sizes": ("FFN sizes", "384, 768"),
}


def sizes_of(text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas.

    Raises:
        ValueError: something else stands there.
    """
    return tuple(int(size) for size in text.split(",") if size.strip())


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {  # title, and what it sets
    "quick": ("Quick look", {"trials": 4, "distil_seconds": 20, "final_epochs": 1}),
    "default": ("Default", {}),
    "thorough": ("Thorough", {"trials": 40, "distil_seconds": 300, "early_epochs": 2, "final_epochs": 5}),
}
LATENCY_KEY, SLIDER_KEY, GIVEN_KEY = "latency target", "latency slider", "latency given"


FROM_URL: dict[str, Callable[[str], Any]] = {
    "task": str,
    "teacher": str,
    "device": str,
    "latency": str,
    "latency_ms": float,
    "trials": int,
    "strategy": str,
    "precision": str,
    "accuracy": str,
    "schedule": str,
    "seed": int,
    "text": str,
    "logits_teacher": str,
    **dict.fromkeys(("early_epochs", "final_epochs", "final_seeds", "distil_tokens", "distil_seconds", "seq_len"), int),
    **dict.fromkeys(SPACE, sizes_of),
}


def page() -> None:
    st.title("Search")
    st.caption("Find the transformer that fits a device: pick a task and a latency target, get a compiled model.")
    form, runs = st.columns([3, 2], gap="large")
    with form:
        preset()
        ask(prefilled())
    with runs:
        st.subheader("Recent runs")
        recent.runs_list()
    with st.expander("Help", icon=":material/help:"):
        st.markdown(
            "A search proposes *trials*: candidates between the sizes of the teacher and a fraction of them. Each is compiled and its latency "
            "measured or predicted; within the target it is trained for a few epochs, and the strategy learns from both. The best is then "
            "trained to the end. Students inherit weights from a body that is distilled from the teacher once for each depth and hidden size."
        )


def preset() -> None:
    """How hard to look, in one click; the URL keeps it."""
    given = st.query_params.get("preset", "default")

    def keep() -> None:
        st.query_params["preset"] = st.session_state["preset"]

    st.segmented_control(
        "Preset", list(PRESETS), default=given if given in PRESETS else "default", format_func=lambda name: PRESETS[name][0], key="preset",
        required=True, on_change=keep, help="Quick look: four candidates, some minutes. Thorough: forty, for hours.",
    )  # fmt: skip


def prefilled() -> Settings:
    """The defaults, or the settings of the run that the URL names as `like`; with the preset's, and then with what else the URL
    names in their place: `/search?task=stsb&latency_ms=4`. A wrong value is left out."""
    settings = Settings()
    if like := st.query_params.get("like"):
        try:
            settings = Settings.from_dict(source.snapshot(like).run.settings)
        except PocketformerError as error:
            st.warning(f"Run {wording.markdown(like)} cannot be taken as a start: {wording.markdown(str(error))}")
        else:
            st.info(f"As in run {wording.markdown(like)}. Change what you like.", icon=":material/replay:")
    settings = replace(settings, **PRESETS.get(st.query_params.get("preset", ""), ("", {}))[1])
    for name, kind in FROM_URL.items():
        if name in st.query_params:
            try:
                settings = replace(settings, **{name: kind(st.query_params[name])})
            except (ValueError, UsageError):
                continue
    return settings


def ask(given: Settings) -> None:
    """The form. Nothing is written before Start, and every answer is shown at once."""
    with st.container(border=True):
        task = ask_task(given)
        columns = st.columns(3)
        device = columns[0].selectbox(
            "Device", *_choice(catalogue.devices(), given.device), format_func=catalogue.device_title,
            help="Where the model will run. Latency is measured where the device is at hand, else predicted, and marked so.",
        )  # fmt: skip
        teacher = columns[1].selectbox(
            "Teacher", *_choice(catalogue.TEACHERS, given.teacher), accept_new_options=True,
            help="minilm comes with Pocketformer. Or type a Hugging Face hub id or a folder (safetensors).",
        )  # fmt: skip
        columns[1].caption(teacher_line(teacher))
        trials = columns[2].number_input(
            "Trials", value=given.trials, min_value=1, max_value=10_000, step=1, help="Candidates to compile and measure."
        )
        beside = st.container()
        columns = st.columns(3)
        strategy = columns[0].selectbox(
            "Strategy", *_choice(strategy_names(), given.strategy),
            help="bayes: models of accuracy and latency choose the candidate with the largest expected improvement. reinforce: CANAO's LSTM policy "
            "with REINFORCE (section 3.3). random, tpe and nsga2 (Optuna) and evolution (regularised): to compare with.",
        )  # fmt: skip
        seed = columns[1].number_input(
            "Seed", value=given.seed, min_value=0, step=1, help="The same seed proposes the same candidates."
        )
        text = columns[2].text_input(
            "Unlabelled text (optional)", value=given.text or "", placeholder="/path/to/text.txt, .gz, or a folder",
            help="For distillation from the teacher; more text gives better candidates. Without it: the task's own and generated text.",
        )  # fmt: skip
        more = ask_more(given, device)
        values = {"task": task.name, "device": device, "trials": trials, "teacher": teacher, "latency": given.latency}
        values |= {"strategy": strategy, "seed": seed, "text": text.strip() or None} | more
        with beside:
            latency_ms = ask_latency(given, values)
            values["also"] = ask_further(given, device)
        values["latency_ms"] = float(latency_ms)
        outlook(given, values)
        started = st.button("Start", type="primary", icon=":material/play_arrow:", width="stretch")
        health.note()
    if started:
        start(task, values)


def teacher_line(teacher: str) -> str:
    """A teacher's size, where its files are here."""
    from engine.teacher import HUB_ID, teacher_architecture, teacher_names

    if teacher not in teacher_names() and HUB_ID.fullmatch(teacher):
        return "Downloaded when the search starts."
    try:
        found = teacher_architecture(teacher)
    except PocketformerError as error:
        return wording.markdown(str(error))
    return f"{found.layers} layers, hidden size {found.hidden_size}, {wording.count(found.parameters())} parameters"


def ask_latency(given: Settings, values: dict[str, Any]) -> float:
    """The target, by slider or as a number, and beside it how much of the space is predicted to be within."""
    if LATENCY_KEY not in st.session_state or st.session_state.get(GIVEN_KEY) != given.latency_ms:
        st.session_state[LATENCY_KEY] = st.session_state[GIVEN_KEY] = given.latency_ms
    left, right = st.columns([2, 3], vertical_alignment="center")
    number_ms: float = left.number_input(
        "Latency target (ms)", step=0.5, format="%.2f", key=LATENCY_KEY,
        help="Median, batch 1. A candidate over the target is not trained.",
    )  # fmt: skip
    try:
        from app.feasible import reach, reach_figure

        wanted = Settings.from_dict({**values, **space_of(values), "task": values["task"] or "own", "latency_ms": 1.0})
        found = reach(wanted)
    except PocketformerError as error:
        right.caption(f"How much of the space is within it cannot be said: {wording.markdown(str(error))}")
        return number_ms
    slowest = max(1.2 * float(found.latency_ms[-1]), number_ms, 1.0)

    def slid() -> None:
        st.session_state[LATENCY_KEY] = st.session_state[SLIDER_KEY]

    with left:
        st.session_state[SLIDER_KEY] = min(max(round(number_ms, 1), 0.1), round(slowest, 1))
        st.slider(
            "Latency target, by hand", 0.1, round(slowest, 1), step=0.1, key=SLIDER_KEY, on_change=slid, label_visibility="collapsed",
            format="%.1f ms",
        )  # fmt: skip
        share, least, most = found.share(number_ms)
        st.markdown(f"**{share:.0%}** of the space is within ({least:.0%} to {most:.0%})")
    with right:
        st.plotly_chart(
            reach_figure(found, max(number_ms, 0.0), dark=st.context.theme.type == "dark"), key="reach",
            config={"displayModeBar": False}, alt=f"Share of the search space by latency: {share:.0%} within {number_ms:g} ms.",
        )  # fmt: skip
        st.caption(wording.with_code(f"{found.basis[0].upper()}{found.basis[1:]}. Band: 90 % interval."))
    return number_ms


def ask_further(given: Settings, device: str) -> dict[str, float]:
    """Further devices, each with a target of its own."""
    names = [name for name in catalogue.devices() if name != device]
    chosen = st.multiselect(
        "Also for", names, default=[name for name in given.also if name in names], format_func=catalogue.device_title, placeholder="no other device",
        help="One search for several devices: a candidate has to meet every target, and each device gets a front and a bundle of its own.",
    )  # fmt: skip
    if not chosen:
        return {}
    columns = st.columns(3)
    return {
        name: float(
            columns[place % 3].number_input(
                f"Target on {name} (ms)",
                value=given.also.get(name, FURTHER_MS),
                min_value=0.01,
                step=0.5,
                key=f"target on {name}",
            )
        )
        for place, name in enumerate(chosen)
    }


def outlook(given: Settings, values: dict[str, Any]) -> None:
    """How long it will take, and the same search as a command."""
    from app.command_line import command_of
    from app.estimate import estimate

    try:
        latency = values["latency"] if values["device"] in catalogue.measurable_devices() else "predicted"
        settings = Settings.from_dict({**values, **space_of(values), "task": values["task"] or "FILE"})
        found = estimate(replace(settings, latency=latency), source.durations())
    except PocketformerError:
        return  # Start says what is wrong
    times = f"{wording.seconds(found.low_s)} to {wording.seconds(found.high_s)}"
    st.markdown(f":material/timer: About **{wording.seconds(found.seconds)}** ({times}; {found.basis}).")
    with st.expander("As a command line", icon=":material/terminal:"):
        st.code(command_of(settings), language="bash", wrap_lines=True)


def start(task: "Choice", values: dict[str, Any]) -> None:
    """Begin the run and go to its page; or say in one line what is wrong."""
    from jobs.driver import start_run

    try:
        if task.problem:
            raise TaskError(task.problem)
        with st.spinner("Checking task, teacher and device"):
            run_id = start_run(source.store(), Settings.from_dict(values | space_of(values)))
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return
    source.forget()
    st.switch_page("views/run.py", query_params={"run": run_id})


def space_of(values: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The search space's fields as numbers.

    Raises:
        UsageError: one is not a list of whole numbers.
    """
    space = {}
    for name, (label, example) in SPACE.items():
        try:
            space[name] = sizes_of(values[name])
        except ValueError:
            raise UsageError(f"{label}: '{values[name]}' is no list of whole numbers; write one like {example}") from None
    return space


@dataclass(frozen=True)
class Choice:
    """The task asked for, or what is wrong with it."""

    name: str
    problem: str = ""


def ask_task(given: Settings) -> Choice:
    names, (first, *others) = [*catalogue.tasks(), OWN_FILE], part_names(given.task)
    default = names.index(first) if first in names else 0
    name = st.selectbox("Task", names, index=default, format_func=catalogue.task_title)
    choice = ask_own_file() if name == OWN_FILE else Choice(name)
    further = [each for each in catalogue.tasks() if each != name]
    chosen = st.multiselect(
        "Further tasks for the same model", further, default=[each for each in others if each in further], placeholder="none",
        help="One model that answers several tasks: its layers are shared, each task has a head of its own. Accuracy is then the mean of theirs.",
    )  # fmt: skip
    if not choice.problem:
        for each in (choice.name, *chosen):
            st.fragment(preview)(each)
    return Choice(",".join((choice.name, *chosen)), choice.problem)


def ask_own_file() -> Choice:
    """A path or an upload, and which of its columns are text and label."""
    written = st.text_input("File, or folder with train and dev files", placeholder="/path/to/reviews.csv")
    upload = st.file_uploader("Or upload one", type=list(own_file.SUFFIXES))
    try:
        if upload is not None:
            path = own_file.save_upload(upload.name, upload.getvalue())
        elif written.strip():
            path = Path(written.strip()).expanduser().absolute()
        else:
            return Choice("", "name the task's file, or upload one")
        names = own_file.columns(path)
    except TaskError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return Choice("", str(error))
    row = st.columns(4)
    text = row[0].selectbox("Text column", names, index=_first(names, ("text", "sentence", "sentence1", "body"), 0))
    label = row[1].selectbox("Label column", names, index=_first(names, ("label", "score", "target", "stars"), len(names) - 1))
    pair = row[2].selectbox("Second text (pairs)", [None, *names], format_func=lambda column: column or "none")
    kind = row[3].selectbox("Kind", own_file.KINDS, help="Classification: labels are classes. Regression: labels are numbers.")
    if len({text, label, pair}) < 3:
        return Choice("", "text, second text and label must be different columns")
    return Choice(own_file.task_name(path, text, label, pair, kind))


def preview(task: str) -> None:
    """A few training rows and the balance of the labels, on request: reading a data set takes a moment."""
    if not st.toggle(f"Show sample rows of {wording.task(task)}", key=f"sample of {task}"):
        return
    try:
        sample = catalogue.sample(task, SAMPLE_ROWS)
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return
    st.dataframe(list(sample.rows), hide_index=True, alt=f"Sample rows of {wording.task(task)}")
    st.caption(f"{sample.train} training and {sample.dev} development examples. {sample.balance}")


def ask_more(given: Settings, device: str) -> dict[str, Any]:
    with st.expander("Advanced"):
        row = st.columns(2)
        values = {
            "accuracy": row[0].selectbox(
                "Accuracy of candidates", *_choice(ACCURACIES, given.accuracy),
                help="trained: each candidate for itself, as CANAO does. supernet: read in seconds off networks that share their weights.",
            ),
            "early_epochs": row[1].number_input(
                "Early epochs", value=given.early_epochs, min_value=1, step=1, help="Training of each candidate during the search."
            ),
            "final_epochs": row[0].number_input(
                "Final epochs", value=given.final_epochs, min_value=1, step=1, help="Training of the best candidate afterwards."
            ),
            "final_seeds": row[1].number_input(
                "Final seeds", value=given.final_seeds, min_value=1, step=1,
                help="How often the best candidate is trained, for mean and deviation of its accuracy. The first one ships.",
            ),
            "distil_tokens": row[0].number_input(
                "Distillation (tokens)", value=given.distil_tokens, min_value=0, step=50_000,
                help="Read by the shared body of each depth and hidden size, once; cached.",
            ),
            "distil_seconds": row[1].number_input(
                "Distillation, at most (s)", value=given.distil_seconds, min_value=0, step=60,
                help="A body that is cut off by it is not repeatable. 0: no distillation.",
            ),
            "seq_len": row[0].number_input(
                "Sequence length (tokens)", value=given.seq_len, min_value=8, max_value=512, step=16,
                help="Every latency is for this many tokens.",
            ),
            "precision": row[1].selectbox(
                "Precision", *_choice(precisions_of(device), given.precision),
                help="Of the compiled model. fp16: matmuls on 16-bit floats. int8: dense layers on 8-bit integers; the final accuracy is the compiled model's own.",
            ),
        }  # fmt: skip
        values["schedule"] = row[0].selectbox(
            "Distillation schedule", *_choice(SCHEDULES, given.schedule),
            help="joint: from all layers of the teacher, before the task. progressive: from one layer after the other. auxiliary: beside the task.",
        )  # fmt: skip
        limits = st.columns(len(LIMITS))
        values |= {
            name: column.number_input(label, value=getattr(given, name), min_value=0.01, placeholder="no limit", help=note)
            for (name, (label, note)), column in zip(LIMITS.items(), limits, strict=True)
        }
        chosen = st.multiselect(
            "Distillation losses", LOSSES, default=list(given.losses), help="None: plain fine-tuning, without the teacher."
        )
        logits_teacher = st.text_input(
            "Logits teacher (optional)", value=given.logits_teacher or "", placeholder="folder or hub id of a text classifier",
            help="A model whose answers the best candidate learns in place of the teacher's. It may have any architecture and tokenizer.",
        )  # fmt: skip
        columns = st.columns(len(SPACE))
        space = {
            name: column.text_input(
                label, value=", ".join(map(str, getattr(given, name))), placeholder=f"from the teacher; {example}"
            )
            for (name, (label, example)), column in zip(SPACE.items(), columns, strict=True)
        }
    return values | {"losses": chosen, "logits_teacher": logits_teacher.strip() or None} | space


def _choice(names: Any, wanted: str) -> tuple[list[str], int]:
    """The options of a select box and the place of the wanted one, which is added when it is not among them."""
    options = list(names)
    if wanted not in options:
        options.append(wanted)
    return options, options.index(wanted)


def _first(names: list[str], wanted: tuple[str, ...], otherwise: int) -> int:
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in wanted if name in lower), otherwise)


page()
