"""The catalogue of phones, a user's own devices, and what is compiled for them."""

import shutil

import pytest

from compiler.devices import CATALOGUE, add_device, device_names, find_device, read_device
from compiler.targets import isas_of, threads_of
from data.errors import UsageError

PHONES = [name for name in device_names() if name != "host"]


@pytest.mark.parametrize("name", PHONES)
def test_a_device_is_described_whole(name):
    device = find_device(name)
    assert device.name == name
    assert device.clusters[0].mhz == max(cluster.mhz for cluster in device.clusters)
    assert 4 <= sum(cluster.cores for cluster in device.clusters) <= 10
    assert all(source.startswith("https://") for source in device.sources)
    assert 1 <= threads_of(name) <= 8


def test_the_papers_phones_are_there():
    assert {"galaxy-s20", "galaxy-s10", "honor-magic-2", "hikey-970"} <= set(PHONES)
    assert find_device("hikey-970").features == set()
    assert "asimddp" in find_device("galaxy-s20").features


def test_a_bundle_has_what_some_processors_have_and_what_all_have():
    assert [isa.name for isa in isas_of("galaxy-s20", "fp32")] == ["neon"]
    assert [isa.name for isa in isas_of("galaxy-s20", "int8")] == ["dotprod-i8mm", "dotprod", "neon"]
    assert [isa.name for isa in isas_of("galaxy-s20", "fp16")] == ["fp16", "neon"]


def test_a_users_own_device(fresh_home, tmp_path):
    shutil.copy(CATALOGUE / "galaxy-s20.toml", tmp_path / "my-phone.toml")
    assert add_device(tmp_path / "my-phone.toml").title == find_device("galaxy-s20").title
    assert "my-phone" in device_names()
    assert find_device("my-phone").clusters == find_device("galaxy-s20").clusters
    with pytest.raises(UsageError, match="is in the catalogue"):
        add_device(CATALOGUE / "galaxy-s20.toml")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('title = "', 'name = "', "no field 'title'"),
        ("cortex-a55", "cortex-a5", "unknown cpu 'cortex-a5'"),
        ('system = "android"', 'system = "ios"', "system 'ios' is none of android, linux"),
        ("cores = 4", "core = 4", "unexpected keyword argument 'core'"),
        ("[gpu]", "[gpu", "is not a device's TOML file"),
    ],
)
def test_what_a_description_lacks_is_named(before, after, message, tmp_path):
    text = (CATALOGUE / "galaxy-s20.toml").read_text()
    assert before in text
    (tmp_path / "odd.toml").write_text(text.replace(before, after))
    with pytest.raises(UsageError, match=message) as raised:
        read_device(tmp_path / "odd.toml")
    assert "\n" not in str(raised.value).partition("(at line")[0]
