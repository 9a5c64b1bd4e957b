"""`pocketformer doctor`: what it finds where things are missing, and where they are not."""

import json

import pytest

from app.cli import main


@pytest.fixture
def findings(capsys, monkeypatch, tmp_path):
    """By name: (state, line), on a machine whose PATH is an empty folder."""

    def ask() -> dict[str, tuple[str, str]]:
        assert main(["doctor", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["ok"] == all(each["state"] != "broken" for each in result["findings"])
        return {each["name"]: (each["state"], each["line"]) for each in result["findings"]}

    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("POCKETFORMER_GLUE_DIR", raising=False)
    return ask


def test_programs_that_are_missing_are_named_with_their_packages(findings):
    found = findings()
    for name, package in (("qemu-aarch64", "qemu-user"), ("adb", "adb"), ("javac", "default-jdk-headless")):
        assert found[name][0] == "optional"
        assert found[name][1].endswith(f"Debian's package {package}")
    assert found["phones"][0] == "optional"
    assert found["processor"][0] == found["Python packages"][0] == "ok"


def test_a_program_that_is_there_is_shown(findings, tmp_path):
    (tmp_path / "bin/javac").write_text("")
    (tmp_path / "bin/javac").chmod(0o755)
    assert findings()["javac"] == ("ok", f"{tmp_path}/bin/javac makes an .aar for Android apps")


def test_what_has_to_be_mended_is_broken(findings, monkeypatch, tmp_path):
    monkeypatch.setenv("POCKETFORMER_GLUE_DIR", str(tmp_path / "nothing"))
    monkeypatch.setattr("app.commands.doctor.PACKAGES", ("torch", "nosuchpackage"))
    monkeypatch.setattr("app.commands.doctor.LEAST_SPACE_GB", 1e9)
    found = findings()
    assert found["GLUE"] == ("broken", f"POCKETFORMER_GLUE_DIR names {tmp_path}/nothing, which is no folder")
    assert found["Python packages"] == ("broken", "nosuchpackage missing; `make env` installs them")
    assert found["disk"][0] == "broken"


def test_people_read_a_table(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line.index("found") for line in lines if "found" in line}) == 1
    assert any(line.startswith("processor") for line in lines)
