"""A whole search, by the command, that measures and scores on a phone which is unplugged on the way."""

import json
import zipfile
from pathlib import Path

import pytest
from tiny import write_model

from app.cli import main
from benchmarks.phone_double import PhoneDouble, coming_back
from data.store import open_store


@pytest.mark.usefixtures("steps_of_100_ms")
def test_a_search_on_a_phone(
    phone: PhoneDouble, tmp_path: Path, session_home: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POCKETFORMER_EMULATED", "1")
    cache = tmp_path / "home" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "zig").symlink_to(Path(session_home) / "cache" / "zig")
    teacher = write_model(tmp_path / "teacher")
    text = tmp_path / "text.txt"
    text.write_text("the man plays a song . the woman eats .\n" * 5)
    words = (
        f"search --task acceptability --teacher {teacher} --text {text} --device phone-double --threads 1 --latency-ms 10000"
    )
    words += " --trials 2 --depths 1,2 --ffn-sizes 16,32 --seq-len 16 --distil-seconds 1 --final-epochs 1 --json"
    phone.unplug()
    phone.plug_in(dies_at="run")
    with coming_back(phone, ""):
        status = main(words.split())
    said = capsys.readouterr()
    assert status == 0, said.err
    found = json.loads(said.out)
    assert [trial["latency_source"] for trial in found["trials"]] == ["emulated", "emulated"]
    assert all(trial["status"] == "trained" for trial in found["trials"])
    assert "timing it on Pocketformer Double, Android 12" in said.err
    assert found["bundle"].endswith("ms-emulated.zip")
    with zipfile.ZipFile(found["bundle"]) as bundle:
        model = json.loads(bundle.read("model.json"))
    assert (model["device"], model["system"], model["latency"]["source"]) == ("phone-double", "android", "emulated")
    scored, trained = (model["accuracy"][name] for name in ("metrics", "before_compilation"))
    assert scored == pytest.approx(trained, abs=0.02)
    with open_store() as store:
        assert store.measurements() == []
