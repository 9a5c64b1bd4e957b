"""The Devices page: what models can be made for, how well latency is known there, and what to do about it. The URL names the device."""

from functools import partial

import streamlit as st

from app import background, catalogue, source, waiting, wording
from app.devices import estimator, figures, phones, predictions, shown
from app.own_file import save_upload
from compiler.devices import HOST, Device, device_names, find_device
from compiler.quiet import busy
from data.errors import PocketformerError
from engine.prediction.calibration import Calibration, calibration_of

REFRESH_S = 8.0
HELP = """
A device is a file of facts: clusters of cores with their clocks and instructions, caches, memory bandwidth, GPU, and where each fact is from.
Models are compiled for it, and latency is **measured** on it where it is connected, else **predicted**: a roofline over the kernels of the
model. Uncalibrated, a prediction is good to a factor of two or so; **calibrated** on a few dozen measurements, to some per cent. The interval
is meant to hold 90 % of what would be measured, and is taken from measurements that the fit has not seen.
"""


def page() -> None:
    st.title("Devices")
    st.caption(
        "The phones and boards that models are made for: facts, connected phones, and how well their latency is predicted."
    )
    with st.expander("What is a device here?", icon=":material/help:"):
        st.markdown(HELP)
    name = choose()
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Connected phones")
        st.fragment(connected, run_every=REFRESH_S)()
    with right:
        st.subheader("Add a device")
        adding()
    st.header(wording.markdown(name), divider="gray")
    entry(name)
    st.subheader("Latency estimator", help="Predicted for the architecture under the sliders, at once.")
    st.fragment(estimator.draw)(name)
    st.subheader("Predicted against measured")
    accuracy(name)
    st.subheader("Calibrate")
    calibrate(name)


def choose() -> str:
    """The catalogue as a table; a click on a row puts the device into the URL."""
    names = device_names()[1:]
    asked = st.query_params.get("device", HOST)
    name = asked if asked in (*names, HOST) else HOST
    if asked != name:
        st.error(f"There is no device '{wording.markdown(asked)}' in the catalogue.", icon=":material/error:")
    devices = known(names)
    rows = [{"Device": HOST, "What it is": "This machine", "Latency": "measured"}]
    rows += [shown.row(each, _latency_kind(each.name)) for each in devices]
    listed = [HOST, *(each.name for each in devices)]
    key = f"devices-{len(listed)}"

    def select() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        if picked:
            st.query_params["device"] = listed[picked[0]]

    st.dataframe(
        rows, key=key, hide_index=True, height=min(460, 38 + 35 * len(rows)), on_select=select, selection_mode="single-row",
        selection_default={"selection": {"rows": [listed.index(name)]}}, placeholder=wording.NONE, alt="The catalogue of devices",
        column_config={"Year": st.column_config.NumberColumn(format="%d"), "Cores": st.column_config.TextColumn(width="large")},
    )  # fmt: skip
    st.caption("Click a row for the device's facts, its calibration and estimates. `pocketformer devices` lists the same.")
    return name


def known(names: list[str]) -> list[Device]:
    """Those whose files can be read; one that cannot is named in a line."""
    found = []
    for name in names:
        try:
            found.append(find_device(name))
        except PocketformerError as error:
            st.warning(wording.markdown(str(error)), icon=":material/warning:")
    return found


def _latency_kind(name: str) -> str:
    if name in connected_names():
        return "measured: connected"
    return "predicted, calibrated" if _calibration(name) else "predicted"


def connected_names() -> set[str]:
    """Devices that a connected phone is, as far as the last look knows."""
    look = watch().look()
    return {name for each in (look.phones if look else ()) if each.state == "ready" for name in each.names}


def _calibration(name: str) -> Calibration | None:
    try:
        return calibration_of(name)
    except PocketformerError as error:
        st.warning(wording.markdown(str(error)), icon=":material/warning:")
        return None


def connected() -> None:
    with busy():  # not while a latency of this machine is taken
        look = watch().look()
        if look is None:
            st.caption(":material/search: Looking for phones.")
            return
        if look.problem:
            st.caption(f":material/usb_off: {wording.markdown(look.problem)}.")
            return
        if not look.phones:
            st.caption("No phone is connected. Plug one in, and enable USB debugging in its developer options.")
        for each in look.phones:
            phone(each)


def phone(each: phones.Seen) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{wording.markdown(each.title or each.serial)}**", width="content")
            ready = each.state == "ready"
            st.badge(
                wording.markdown(each.state),
                color="green" if ready else "orange",
                icon=":material/usb:" if ready else ":material/warning:",
            )
        known_as = f"device {' or '.join(each.names)}" if each.names else each.hint
        st.caption(wording.markdown(" · ".join(filter(None, (each.serial, each.chip, each.heat, known_as)))))


@st.cache_resource(show_spinner=False)
def watch() -> phones.Watch:
    return phones.Watch()


def adding() -> None:
    """A device of the user's own, from a file or a form."""
    with st.popover("Upload a TOML file", icon=":material/upload_file:", width="stretch"):
        file = st.file_uploader(
            "Device file", type=["toml"], max_upload_size=1, help="Named as the device is to be called: my-phone.toml"
        )
        if file is not None and st.button("Add it", type="primary", key="add file", width="stretch"):
            try:
                _added(shown.add(file.name.removesuffix(".toml"), file.getvalue().decode("utf-8", errors="replace")))
            except PocketformerError as error:
                st.error(wording.markdown(str(error)), icon=":material/error:")
    with st.popover("Fill in a form", icon=":material/edit_note:", width="stretch"), st.form("device", border=False):
        form()


def form() -> None:
    name = st.text_input("Name", placeholder="my-phone", help="What --device takes: small letters, digits, dashes.")
    title = st.text_input("What it is", placeholder="Maker and model")
    left, right = st.columns(2)
    facts = {
        "title": title,
        "system": left.selectbox("System", ["android", "linux"]),
        "soc": right.text_input("Chip", placeholder="Snapdragon 865"),
        "year": int(left.number_input("Year", 2015, 2035, 2025, step=1)),
        "memory_gb_s": float(right.number_input("Memory bandwidth (GB/s)", 1.0, 500.0, 34.0, help="The memory's peak.")),
        "l3_kb": int(left.number_input("Shared cache, L3 (kB)", 0, 65536, 2048, step=256, help="0 where there is none.")),
    }
    st.markdown("Clusters, the fastest first")
    given = st.data_editor(
        [{"cpu": "cortex-a78", "cores": 4, "mhz": 2400, "l2_kb": 512, "l2_shared": False}], num_rows="dynamic", hide_index=True, key="clusters",
        column_config={
            "cpu": st.column_config.SelectboxColumn("CPU", options=shown.cpu_names(), required=True),
            "cores": st.column_config.NumberColumn("Cores", min_value=1, step=1),
            "mhz": st.column_config.NumberColumn("MHz", min_value=100, step=1, help="Highest clock."),
            "l2_kb": st.column_config.NumberColumn("L2 (kB)", min_value=1, step=1, help="Of each core, or of all where shared."),
            "l2_shared": st.column_config.CheckboxColumn("Shared"),
        },
    )  # fmt: skip
    facts["sources"] = st.text_area("Sources", placeholder="One a line: where these facts are from", height=80)
    if st.form_submit_button("Add the device", type="primary", width="stretch"):
        try:
            _added(shown.add(name.strip(), shown.toml_of(facts, list(given))))
        except PocketformerError as error:
            st.error(wording.markdown(str(error)), icon=":material/error:")


def _added(device: Device) -> None:
    catalogue.devices.clear()
    st.query_params["device"] = device.name
    st.toast(f"{device.name} is in the catalogue now.", icon=":material/check:")
    st.rerun()


def entry(name: str) -> None:
    """The device's facts and where they are from."""
    if name == HOST:
        from compiler.isa import cores, host

        isa = host()
        st.markdown(
            f"This machine: {wording.plural(cores(), 'core')}, {isa.name}. Latency is measured here with `pocketformer bench`."
        )
        return
    device = find_device(name)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(f"**{wording.markdown(device.title)}**")
        st.dataframe(shown.clusters(device), hide_index=True, alt=f"Clusters of {name}")
        if st.button(
            "Check the connected phone", icon=":material/fact_check:", help="Is it this device, and fit to be timed now?"
        ):
            waiting.begin(partial(background.begin, f"check-{name}", ["devices", "check", name]))
        key = f"check-{name}"
        if not waiting.running(key) and (work := background.find(key)) and work.result:
            found = {each["name"]: each["line"] for each in work.result["findings"]}
            st.table({key: wording.markdown(value) for key, value in found.items()}, border="horizontal", hide_header=True)
    with right:
        st.table(
            {key: wording.markdown(value) for key, value in shown.facts(device).items()}, border="horizontal", hide_header=True
        )
        with st.expander(f"Sources ({len(device.sources)})"):
            st.markdown(
                "\n".join(f"- {each if each.startswith('https://') else wording.markdown(each)}" for each in device.sources)
            )


def accuracy(name: str) -> None:
    """The plot, its errors, and what the published figures are."""
    try:
        points = predictions.points(source.store(), name)
    except PocketformerError as error:
        st.error(wording.markdown(str(error)), icon=":material/error:")
        return
    calibration = _calibration(name)
    if not points:
        st.info(
            "Nothing was measured on this device yet, and nothing is published for it. Calibrate it below.",
            icon=":material/straighten:",
        )
        return
    factor = predictions.factor(name)
    figure = figures.accuracy_figure(points, factor, dark=st.context.theme.type == "dark")
    left, right = st.columns([3, 2], gap="large")
    with left:
        config = {"displaylogo": False, "toImageButtonOptions": {"format": "svg"}}
        st.plotly_chart(
            figure, key="accuracy", config=config, alt=f"Predicted against measured latency on {name}, {len(points)} points"
        )
    with right:
        st.dataframe(
            predictions.errors(points, factor), hide_index=True, placeholder=wording.NONE, alt="Errors of the predictions",
            column_config={"Median error": st.column_config.NumberColumn(format="percent"), "In the interval": st.column_config.NumberColumn(format="percent")},
        )  # fmt: skip
        st.caption(
            f"Calibrated on: {wording.markdown(calibration.origin)}."
            if calibration
            else "Not calibrated: what other engines reach on other devices."
        )
        st.download_button(
            "CSV",
            predictions.csv_of(points),
            file_name=f"predictions-{name}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def calibrate(name: str) -> None:
    """Fit predictions to a user's file, or to what is measured now."""
    key = f"calibrate-{name}"
    if waiting.running(key):
        return
    work = background.find(key)
    if work is not None and work.result:
        fits = work.result["clusters"].values()
        rows = ", ".join(f"{wording.plural(each['rows'], 'measurement')} of {each['families']} families" for each in fits)
        st.success(f"Calibrated on {rows}. Predictions use it from now on.", icon=":material/check:")
    left, right = st.columns(2, gap="large")
    with left, st.container(border=True):
        st.markdown("**From a file**")
        file = st.file_uploader("Measurements (CSV)", type=["csv"], max_upload_size=20, help=COLUMNS)
        st.caption("Columns: `architecture`, `total_ms`; also `seq_len`, `threads`, `cluster`, `precision`.")
        if (
            st.button("Calibrate from the file", disabled=file is None, icon=":material/tune:", width="stretch")
            and file is not None
        ):
            try:
                path = save_upload(file.name, file.getvalue())
            except PocketformerError as error:
                st.error(wording.markdown(str(error)), icon=":material/error:")
            else:
                waiting.begin(partial(background.begin, key, ["calibrate", "--device", name, "--data", str(path)]))
    with right, st.container(border=True):
        st.markdown("**By measuring**")
        here = name == HOST or name in connected_names()
        count = st.number_input(
            "Architectures", 1, 60, 8, step=1, help="Different ones tell more; each takes ten seconds to a minute."
        )
        st.caption("Each is compiled and timed." if here else f"Connect a {name} first: nothing can be timed on it now.")
        if st.button("Measure and calibrate", disabled=not here, icon=":material/timer:", width="stretch"):
            waiting.begin(partial(background.begin, key, ["calibrate", "--device", name, "--budget", str(int(count))]))


COLUMNS = (
    "architecture (written, or a preset), or its sizes as layers, hidden, heads, intermediate; total_ms (also latency_ms or ms); and where they "
    "differ from the defaults seq_len (128 tokens), batch (1), threads (one a core), cluster (big, little, all or gpu), precision (fp32), "
    "fusion (lp)"
)


page()
