"""The bundle's file: reproducible, verified, whole or absent."""

import json
import zipfile

import pytest

from compiler.bundle import CHECKSUMS, LIBRARY, file_name, read_bundle, write_bundle
from data.errors import ModelError, PocketformerError

DESCRIPTION = {
    "architecture": "L1-H64-A1-F64",
    "device": "host",
    "precision": "fp32",
    "seq_len": 32,
    "outputs": 1,
    "task": {"name": "stsb", "kind": "regression", "pairs": True},
    "latency": {"median_ms": 1.5, "p10_ms": 1.4, "p90_ms": 1.7, "runs": 100, "threads": 2, "source": "measured"},
    "accuracy": {"split": "dev", "metrics": {"pearson": 0.8}},
}


@pytest.fixture
def built(tmp_path, fresh_home):
    built = tmp_path / "built"
    built.mkdir()
    for name in ("model.so", "bench", "weights.bin", "plan.json", "pocketformer.h"):
        (built / name).write_bytes(name.encode() * 1000)
    return built


def written(built, path):
    return write_bundle(built, path, DESCRIPTION, "{}")


def rewritten(path, changes):
    """The zip again, with the members in `changes` replaced."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_equal_inputs_give_equal_bytes(built, tmp_path):
    first, second = (written(built, tmp_path / name) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()


def test_what_was_packed_is_read_back(built, tmp_path):
    bundle = read_bundle(written(built, tmp_path / "a.zip"))
    assert {name: bundle.model[name] for name in DESCRIPTION} == DESCRIPTION
    assert (bundle.folder / "weights.bin").read_bytes() == (built / "weights.bin").read_bytes()
    assert (bundle.folder / "bench").stat().st_mode & 0o100
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert "1.50 ms (measured" in archive.read("README.md").decode()
        assert LIBRARY in archive.namelist()


def test_code_for_gpus_brings_its_program_and_how_to_use_it(built, tmp_path):
    (built / "bench-gpu").write_bytes(b"bench-gpu")
    path = write_bundle(built, tmp_path / "a.zip", DESCRIPTION | {"gpu": True, "system": "android"}, "{}")
    assert (read_bundle(path).folder / "bench-gpu").stat().st_mode & 0o100
    with zipfile.ZipFile(path) as archive:
        readme = archive.read("README.md").decode()
    assert 'pf_use_gpu(model, "fp16")' in readme
    assert '<uses-native-library android:name="libOpenCL.so" android:required="false"/>' in readme
    assert "adb push bench bench-gpu weights.bin" in readme
    with zipfile.ZipFile(written(built, tmp_path / "b.zip")) as archive:
        assert "pf_use_gpu" not in archive.read("README.md").decode()


def test_a_bundle_of_several_lengths_says_what_each_takes(built, tmp_path):
    lengths = [{"seq_len": 16, "median_ms": 0.8}, {"seq_len": 32, "median_ms": 1.5}]
    description = DESCRIPTION | {"seq_lens": [16, 32], "latency_by_length": lengths}
    path = write_bundle(built, tmp_path / "a.zip", description, "{}")
    assert (read_bundle(path).seq_len, read_bundle(path).seq_lens) == (32, (16, 32))
    with zipfile.ZipFile(path) as archive:
        assert "16: 0.80 ms, 32: 1.50 ms" in archive.read("README.md").decode()


def test_bundles_from_before_there_were_several_lengths_are_read(built, tmp_path, monkeypatch):
    monkeypatch.setattr("compiler.bundle.FORMAT", 1)
    bundle = read_bundle(written(built, tmp_path / "a.zip"))
    assert bundle.model["format"] == 1
    assert (bundle.seq_len, bundle.seq_lens) == (32, (32,))


def test_a_bundle_of_a_newer_format_is_refused(built, tmp_path, monkeypatch):
    monkeypatch.setattr("compiler.bundle.FORMAT", 3)
    with pytest.raises(ModelError, match="has bundle format 3, this Pocketformer reads 1 and 2"):
        read_bundle(written(built, tmp_path / "a.zip"))


@pytest.mark.parametrize(
    "changes",
    [
        {"weights.bin": b"other"},
        {CHECKSUMS: b"0  ../outside\n", "../outside": b"x"},
        {"model.json": json.dumps({"format": 99}).encode()},
    ],
    ids=["damaged member", "member outside the folder", "checksum of the description"],
)
def test_a_changed_bundle_is_refused_and_leaves_nothing(built, tmp_path, changes):
    path = rewritten(written(built, tmp_path / "a.zip"), changes)
    with pytest.raises(ModelError, match="not a whole Pocketformer bundle"):
        read_bundle(path)
    assert not (tmp_path / "outside").exists()
    assert list((tmp_path / "home" / "cache" / "bundles").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no zip at all"])
def test_what_is_no_bundle_is_refused(fresh_home, tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a whole Pocketformer bundle"):
        read_bundle(path)


def test_a_missing_bundle_is_named(fresh_home, tmp_path):
    with pytest.raises(ModelError, match="no bundle at"):
        read_bundle(tmp_path / "a.zip")


def test_a_full_disk_leaves_no_half_written_file(built, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compiler.bundle.shutil.copyfileobj", full)
    with pytest.raises(PocketformerError, match="No space left on device"):
        written(built, tmp_path / "out" / "a.zip")
    assert list((tmp_path / "out").iterdir()) == []


def test_file_names_suit_every_file_system():
    assert file_name("my file.csv?x=1", "L2-H256-A8-F64,128", "host", 4.567) == (
        "pocketformer-my_file.csv_x_1-L2-H256-A8-F64_128-host@4.57ms.zip"
    )
