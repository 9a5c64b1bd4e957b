"""What a phone says of itself, and which phone a device of the catalogue means."""

from dataclasses import replace

import pytest

from compiler.devices import check_measurable, find_device, is_measurable, measurable_names, split_serial
from compiler.phone.adb import Phone, phones
from compiler.phone.check import check
from compiler.phone.choose import differences, find_phone, recognised, where
from compiler.phone.facts import Core, Facts, facts_of
from compiler.phone.heat import Heat, cool_down, heat_of, read_heat
from data.errors import Cancelled, MeasureError, UsageError

CPUINFO = """Processor\t: AArch64 Processor rev 14 (aarch64)
processor\t: 0
Features\t: fp asimd asimdhp asimddp
CPU implementer\t: 0x51
CPU part\t: 0x805

processor\t: 1
Features\t: fp asimd asimdhp asimddp sve
CPU implementer\t: 0x41
CPU part\t: 0xd0d

Hardware\t: Qualcomm
"""
SAID = f"""ro.product.manufacturer=samsung
ro.product.model=SM-G981U
ro.soc.model=
ro.board.platform=kona
ro.build.version.release=11
ro.product.cpu.abilist=arm64-v8a,armeabi-v7a
ro.kernel.qemu=
ro.boot.qemu=
{CPUINFO}core=0 1804800
core=1 2841600
core=2
Cpus_allowed_list:\t0-1
MemAvailable:    5242880 kB
space=/dev/block/dm-8 118384640 40000000 78384640  34% /data
"""
BATTERY = "Current Battery Service state:\n  level: 80\n  temperature: 305\n"
THERMAL = """IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=88.0, mType=0, mName=CPU0, mStatus=0}
Current temperatures from HAL:
\tTemperature{mValue=41.5, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=43.25, mType=0, mName=CPU7, mStatus=0}
\tTemperature{mValue=60.0, mType=3, mName=skin, mStatus=0}
Current cooling devices from HAL:
"""
COOL = Heat(cpu_c=40.0, battery_c=30.0, status=0, clocks_mhz={0: (1800, 1800), 7: (2840, 2840)})
GALAXY_S20 = (*(Core(n, "cortex-a55", 1804, True) for n in range(4)), *(Core(n, "cortex-a77", 2419, True) for n in (4, 5, 6)),
              Core(7, "cortex-a77", 2841, True))  # fmt: skip


def facts(cores=GALAXY_S20, **changes) -> Facts:
    known = Facts("SM-G981U", "kona", "11", ("arm64-v8a",), False, tuple(cores), frozenset({"asimddp"}), 4000, 10000)
    return replace(known, **changes)


def test_what_a_phone_says_of_itself():
    found = facts_of(SAID)
    assert (found.title, found.soc) == ("samsung SM-G981U, Android 11", "kona")
    assert found.abis == ("arm64-v8a", "armeabi-v7a")
    assert [(core.cpu, core.mhz, core.allowed) for core in found.cores] == [
        ("cortex-a55", 1804, True),
        ("cortex-a77", 2841, True),
        ("", 0, False),
    ]
    assert found.features == {"fp", "asimd", "asimdhp", "asimddp"}
    assert (found.free_memory_mb, found.free_space_mb) == (5120, 76547)
    assert not found.is_emulated


@pytest.mark.parametrize("name", ["ro.kernel.qemu", "ro.boot.qemu"])
def test_an_emulator_says_so(name):
    assert facts_of(SAID.replace(f"{name}=", f"{name}=1")).is_emulated


def test_a_core_that_nobody_knows_keeps_its_numbers():
    assert facts_of(SAID.replace("0xd0d", "0xd99")).cores[1].cpu == "0x41/0xd99"


def test_the_fastest_cores_that_a_program_may_use():
    assert facts().fastest(4) == (7, 4, 5, 6)
    assert facts([*GALAXY_S20[:7], replace(GALAXY_S20[7], allowed=False)]).fastest(2) == (4, 5)
    assert facts([replace(core, mhz=0) for core in GALAXY_S20]).fastest(4) == ()


def test_a_phone_is_recognised_by_its_cores():
    assert recognised(facts()) == ["galaxy-s20"]
    assert recognised(facts([replace(core, cpu="") for core in GALAXY_S20])) == []


@pytest.mark.parametrize(
    ("cores", "unlike"),
    [
        ([replace(core, cpu="") for core in GALAXY_S20], ""),
        ([replace(core, cpu="0x41/0xd99", mhz=0) for core in GALAXY_S20], ""),
        (GALAXY_S20[:7], "it has 3 x cortex-a77 2.42 GHz + 4 x cortex-a55 1.80 GHz, galaxy-s20 1 x cortex-a77 2.84 GHz"),
        ([*GALAXY_S20[:7], replace(GALAXY_S20[7], mhz=3187)], "it has 1 x cortex-a77 3.19 GHz"),
        ([*GALAXY_S20[:7], replace(GALAXY_S20[7], cpu="cortex-x1")], "it has 1 x cortex-x1 2.84 GHz"),
    ],
)
def test_differences_from_the_catalogue(cores, unlike):
    said = differences(find_device("galaxy-s20"), facts(cores))
    assert said.startswith(unlike) if unlike else said == ""


def test_heat():
    heat = heat_of(f"core=0 1804800 1804800\ncore=7 2841600 1804800\nzone=39000 cpu-0-0\n{BATTERY}{THERMAL}")
    assert heat == Heat(43.25, 30.5, 1, {0: (1804, 1804), 7: (2841, 1804)})
    assert heat.trouble([0]) == ""
    assert heat.trouble([0, 7]) == "core 7 is held at 1.80 of 2.84 GHz"


@pytest.mark.parametrize(
    ("text", "temperature_c"), [(f"zone=39000 cpu-0-0\nzone=70000 battery\n{BATTERY}", 39.0), (BATTERY, 30.5), ("", None)]
)
def test_heat_of_a_phone_that_says_little(text, temperature_c):
    assert heat_of(text).temperature_c == temperature_c
    assert heat_of(text).trouble([0]) == ""


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"status": 2}, "Android reports moderate thermal throttling"),
        ({"battery_c": 43.0}, "its battery is at 43 °C"),
        ({}, ""),
    ],
)
def test_too_hot_to_be_timed(change, trouble):
    assert replace(COOL, **change).trouble([0, 7]) == trouble


@pytest.mark.parametrize("name", ["galaxy-s20", "galaxy-s20@R58"])
def test_without_adb_the_error_names_the_package(name):
    with pytest.raises(UsageError, match=f"latency on {name} cannot be measured: there is no `adb` .* install the package adb"):
        check_measurable(name)
    assert not is_measurable(name)
    assert measurable_names() == ["host"]


def test_without_a_phone_the_error_says_what_to_do(adb_server):
    with pytest.raises(UsageError, match="no phone is connected; plug it in and enable USB debugging"):
        check_measurable("galaxy-s20")
    with pytest.raises(UsageError, match="no phone with serial R58 is connected"):
        check_measurable("galaxy-s20@R58")
    with pytest.raises(UsageError, match="raspberry-pi-5 cannot be measured: it runs linux"):
        check_measurable("raspberry-pi-5")
    for name in ("galaxy-s2", "galaxy-s2@R58", "host@R58"):
        with pytest.raises(UsageError, match=f"unknown device '{name}'"):
            check_measurable(name)


def test_a_phone_that_is_not_ready_is_told_what_to_do(adb_server, monkeypatch):
    for state, hint in (
        ("unauthorized", "allow USB debugging"),
        ("no permissions (udev)", "android-sdk-platform-tools-common"),
    ):
        monkeypatch.setattr("compiler.phone.choose.phones", lambda state=state: [Phone("R58", state)])
        with pytest.raises(MeasureError, match=f"R58 is {state.split(' (')[0]}; .*{hint}"):
            find_phone("galaxy-s20")


def test_an_emulator_is_refused_unless_it_is_asked_for(phone, monkeypatch):
    with pytest.raises(UsageError, match=r"Double, Android 12 \(.*\) is an emulator, and its time is no latency"):
        check_measurable("phone-double")
    assert not is_measurable("phone-double")
    assert measurable_names() == ["host"]
    monkeypatch.setenv("POCKETFORMER_EMULATED", "1")
    assert measurable_names() == ["host", "phone-double"]
    assert find_phone("phone-double").phone.serial == phone.serial
    assert find_phone(f"phone-double@{phone.serial}").phone.serial == phone.serial


def test_another_phone_than_was_asked_for_is_refused_unless_its_serial_is_given(phone, monkeypatch):
    monkeypatch.setenv("POCKETFORMER_EMULATED", "1")
    with pytest.raises(UsageError, match=r"is another phone: it has .*, galaxy-s20 1 x cortex-a77 2.84 GHz"):
        check_measurable("galaxy-s20")
    name = f"galaxy-s20@{phone.serial}"
    check_measurable(name)
    assert ", though it has " in where(name)
    assert split_serial(name) == ("galaxy-s20", phone.serial)


def test_two_phones_that_could_be_it_have_to_be_told_apart(phone, monkeypatch):
    monkeypatch.setenv("POCKETFORMER_EMULATED", "1")
    monkeypatch.setattr("compiler.phone.choose.phones", lambda: [*phones(), *phones()])
    with pytest.raises(MeasureError, match=f"several .* take --device phone-double@{phone.serial} or"):
        find_phone("phone-double")


def test_a_check_of_a_connected_phone(phone, monkeypatch):
    monkeypatch.setenv("POCKETFORMER_EMULATED", "1")
    core = max(each.number for each in find_phone("phone-double").facts.cores)
    phone.set_clock(core, 2000, 1000)
    found = check("phone-double")
    lines = {each["name"]: each["line"] for each in found["findings"]}
    assert lines["reachable"].startswith("yes: Pocketformer Double, Android 12")
    assert "an emulator" in lines["reachable"]
    assert lines["as the catalogue says"] == "yes"
    assert lines["instructions"] == "neon for fp32, fp16 for fp16, dotprod for int8"
    assert f"core {core} is held at 1.00 of 2.00 GHz" in lines["heat"]
    assert not found["ready"]
    assert all("\n" not in line for line in lines.values())
    assert found["free_space_mb"] > 0
    assert find_phone("phone-double").facts.free_memory_mb > 0


def test_a_check_of_an_absent_phone(adb_server):
    found = check("galaxy-s20")
    assert not found["reachable"]
    assert found["findings"][0]["line"].startswith("no: no phone is connected")


def test_a_hot_phone_is_waited_for_and_given_up(phone, monkeypatch):
    monkeypatch.setattr("compiler.phone.heat.COOL_POLL_S", 0.1)
    adb = Phone(phone.serial)
    core = min(read_heat(adb).clocks_mhz)
    phone.set_clock(core, 2000, 1000)
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        cool_down(adb, [core], lambda: next(asked))

    def cools() -> bool:
        phone.set_clock(core, 2000, 2000)
        return False

    assert cool_down(adb, [core], cools).held_back([core]) == ""
    monkeypatch.setattr("compiler.phone.heat.COOL_DOWN_S", 0.0)
    phone.set_clock(core, 2000, 1000)
    with pytest.raises(MeasureError, match=r"is not fit to be timed, .* held at 1.00 of 2.00 GHz; let it cool"):
        cool_down(adb, [core], lambda: False)
