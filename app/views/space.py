"""The Design space page: what may be searched, before anything is: sampled architectures, and one under the sliders."""

import streamlit as st

from app import catalogue, drawing, wording
from app.explore import actions, sliders, space
from app.explore.filters import URL
from app.explore.space_figure import space_figure
from app.explore.trials import CONFIG, dark
from app.guard import shown_plainly
from compiler.targets import precisions_of
from engine.architecture import DEFAULT_SEQ_LEN, Architecture
from engine.prediction.predict import Prediction, predict

CHART_KEY = "space_chart"


def page() -> None:
    st.title("Design space")
    st.caption(
        "Every architecture that a search may propose, by predicted latency, without a search. Move the sliders to build your own."
    )
    columns = st.columns(4)
    tasks = list(catalogue.tasks())
    task = columns[0].selectbox("Task", tasks, key="task", bind=URL, help="Whose trials accuracy is learned from.")
    teacher = columns[1].selectbox(
        "Teacher", catalogue.TEACHERS, key="teacher", bind=URL, help="Students are no larger than their teacher."
    )
    device = columns[2].selectbox("Device", catalogue.devices(), key="device", bind=URL)
    precision = columns[3].selectbox("Precision", precisions_of(device), key="precision", bind=URL)
    st.fragment(shown_plainly()(explore))(task, teacher, device, precision)
    with st.expander("What this page shows", icon=":material/help:"):
        st.markdown(HELP)


def explore(task: str, teacher: str, device: str, precision: str) -> None:
    """The sliders, the picture and the numbers. A fragment: a slider runs this alone."""
    students, sampled = space.space_of(teacher), space.sample(teacher, device, precision)
    accuracy = space.accuracy_of(task, teacher)
    left, right = st.columns([2, 3])
    with left:
        architecture = sliders.ask_architecture(students)
        actions.buttons(architecture, task, teacher, device, precision)
    prediction = predict(architecture, device, precision=precision)
    with right:
        numbers(architecture, accuracy, precision, prediction, catalogue.metric_of(task))
        picture(sampled, accuracy, architecture, prediction, catalogue.metric_of(task))
    st.markdown("**Layer by layer**")
    widest = max(*students.teacher.ffn_sizes, students.teacher.hidden_size)
    st.plotly_chart(
        drawing.layers_figure(architecture, widest, architecture.layers, dark=dark()), key="space_layers_drawn", config=CONFIG,
        alt=f"Hidden size and FFN size of each layer of {architecture}.",
    )  # fmt: skip


def numbers(architecture: Architecture, accuracy: space.Accuracy, precision: str, prediction: Prediction, metric: str) -> None:
    """The architecture under the sliders, in numbers."""
    known = accuracy.trials.get(str(architecture))
    if known is not None:
        score, label, note = (
            wording.accuracy(known.accuracy),
            metric,
            f"Mean of {wording.plural(known.trials, 'trial')} of the store.",
        )
    elif accuracy.learned is not None:
        value, half = float(accuracy.learned.predict([architecture])[0]), accuracy.learned.half_width
        score, label, note = f"{value:.3f} ± {half:.3f}", f"{metric}, learned", accuracy.basis
    else:
        score, label, note = wording.NONE, metric, accuracy.basis
    size = architecture.weight_bytes({"fp32": 4, "fp16": 2, "int8": 1}[precision])
    st.code(str(architecture), language=None, wrap_lines=True)
    with st.container(horizontal=True, gap="medium"):
        for name, text, help_text, width in (
            ("Latency, predicted", wording.latency(prediction.latency_ms), prediction.basis, 160),
            (
                "90 % interval",
                wording.spread(prediction.low_ms, prediction.high_ms),
                "Meant to hold 90 % of what would be measured.",
                200,
            ),
            (label, score, note, 190),
            ("Parameters", wording.count(architecture.parameters()), "Embeddings and layers.", 120),
            ("FLOPs", wording.count(architecture.flops()), f"2 x multiply-accumulates, {DEFAULT_SEQ_LEN} tokens.", 110),
            ("Weights", wording.megabytes(size), f"In {precision}.", 120),
            ("Kernels", str(prediction.kernels), "Calls of an inference, after layer fusion.", 90),
        ):
            st.metric(name, text, help=help_text, width=width)


def picture(
    sampled: space.Sampled, accuracy: space.Accuracy, architecture: Architecture, prediction: Prediction, metric: str
) -> None:
    """The sample with the architecture in it. A click on a mark moves the sliders."""
    learned = accuracy.learned
    heights = space.heights(sampled, accuracy, DEFAULT_SEQ_LEN)
    height = float(learned.predict([architecture])[0]) if learned else architecture.flops() / 1e9
    named = f"Accuracy ({metric})" if metric != "accuracy" else "Accuracy"
    figure = space_figure(
        sampled.architectures, sampled.predictions.latency_ms, heights, f"{named}, learned" if learned else "GFLOPs (no accuracy known)",
        (str(architecture), prediction.latency_ms, (prediction.low_ms, prediction.high_ms), height, learned.half_width if learned else 0.0),
        space.tried_in(sampled, accuracy) if learned else (), front=learned is not None, dark=dark(),
    )  # fmt: skip
    st.plotly_chart(
        figure, key=CHART_KEY, on_select=_picked, selection_mode="points", config=CONFIG,
        alt=f"{len(sampled.architectures)} architectures by predicted latency in milliseconds.",
    )  # fmt: skip
    st.caption(f"{accuracy.basis} Latency: {sampled.predictions.basis}. Click a mark to take its sizes.")


def _picked() -> None:
    points = st.session_state[CHART_KEY]["selection"]["points"]
    name = next((point["customdata"] for point in points if point.get("customdata")), None)
    if name:
        st.query_params["architecture"] = name if isinstance(name, str) else name[0]


HELP = """
- Each mark is an architecture that a search with this teacher may propose, drawn by chance; the star is the one under the sliders.
- **Latency** is predicted by a roofline of the kernels that the compiler makes, with its 90 % interval: no phone is asked.
- **Accuracy** is never invented. With enough trials of the task in the store it is learned from them (those read off a supernet first) and
  marked as learned; rings are trials. Without, the axis shows FLOPs.
- **Train** starts a search of one: this architecture is distilled, fine-tuned, compiled and packed. **Compile** makes it without training.
"""

page()
