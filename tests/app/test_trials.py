"""`pocketformer trials`: a run for one device, and one for several."""

import csv
import json

import pytest

from app.cli import main
from data.store import DeviceLatency, Trial, open_store

PHONE = "galaxy-s20"


@pytest.fixture
def run_id(fresh_home) -> str:
    """Two trained trials, the one faster on host, the other on the phone, and one that host ruled out."""
    with open_store() as store:
        store.create_run("r", {"device": "host", "latency_ms": 5.0, "also": {PHONE: 40.0}})
        trials = [
            Trial("r", 1, 1, "L1-H256-A4-F1024", "trained", 1.0, accuracy=0.5, latency_source="measured"),
            Trial("r", 2, 1, "L2-H256-A4-F1024", "trained", 2.0, accuracy=0.6, latency_source="measured"),
            Trial("r", 3, 1, "L3-H256-A4-F1024", "over_limit", 9.0, latency_source="measured", reason="too slow"),
        ]
        latencies = [DeviceLatency("r", n, PHONE, ms, ms / 2, ms * 2, "predicted") for n, ms in ((1, 30.0), (2, 20.0))]
        store.commit_step("r", 0, state=None, trials=trials, latencies=latencies)
    return "r"


def told(capsys, *arguments: str) -> list[dict]:
    assert main(["trials", "r", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_has_each_devices_latency(run_id, capsys):
    rows = told(capsys)
    assert [row["latency_ms"] for row in rows] == [1.0, 2.0, 9.0]
    assert [(device, found["latency_ms"]) for device, found in rows[0]["latencies"].items()] == [("host", 1.0), (PHONE, 30.0)]
    assert list(rows[2]["latencies"]) == ["host"]


def test_a_front_is_that_of_the_device_asked_for(run_id, capsys):
    assert [row["trial"] for row in told(capsys, "--pareto")] == [1, 2]
    (row,) = told(capsys, "--pareto", "--device", PHONE)
    assert (row["trial"], row["latency_ms"], row["latency_source"]) == (2, 20.0, "predicted")


def test_without_a_front_too_the_latency_is_that_devices(run_id, capsys):
    assert [row["latency_ms"] for row in told(capsys, "--device", PHONE)] == [30.0, 20.0, None]


def test_the_table_and_the_file_have_a_column_for_each_device(run_id, tmp_path, capsys):
    path = tmp_path / "trials.csv"
    assert main(["trials", "r", "--csv", str(path)]) == 0
    header = capsys.readouterr().out.splitlines()[0]
    assert "host ms" in header
    assert f"{PHONE} ms" in header
    rows = list(csv.DictReader(path.open()))
    assert [row[f"{PHONE} latency_ms"] for row in rows] == ["30.0", "20.0", ""]
    assert rows[0]["host latency_source"] == "measured"


def test_a_device_that_the_run_is_not_for(run_id, capsys):
    assert main(["trials", "r", "--device", "pixel-8"]) == 2
    assert "run r is not for 'pixel-8'; take host or galaxy-s20" in capsys.readouterr().err
