"""The devices that models are compiled for and measured on: this machine, the catalogue beside this file, and a user's own."""

import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.devices.cpus import CPUS, Cpu
from data.errors import MeasureError, UsageError
from data.home import home

HOST = "host"
SYSTEMS = ("android", "linux")
CATALOGUE = Path(__file__).parent


@dataclass(frozen=True)
class Cluster:
    """Equal cores. `mhz` is their highest clock, `l2_kb` of each core, or of all where `l2_shared`; `power_w` the least and the most power
    published for all of them at work on BERT models, average active power in watts."""

    cpu: str
    cores: int
    mhz: int
    l2_kb: int
    l2_shared: bool = False
    power_w: tuple[float, float] | None = None

    @property
    def facts(self) -> Cpu:
        return CPUS[self.cpu]


@dataclass(frozen=True)
class Gpu:
    """`fp32_gflops`: 2 x multiply-adds a second, in 10^9, at its highest clock."""

    name: str
    mhz: int
    fp32_gflops: float
    opencl: bool


@dataclass(frozen=True)
class Device:
    """A phone or board.

    Attributes:
        name: the file's, and what `--device` takes.
        system: android or linux.
        clusters: the fastest first.
        memory_gb_s: the memory's peak bandwidth.
        l3_kb: shared by all cores; 0 where there is none.
        sources: where these facts are from.
        assumed: those that are not.
    """

    name: str
    title: str
    system: str
    soc: str
    year: int
    clusters: tuple[Cluster, ...]
    memory_gb_s: float
    l3_kb: int
    gpu: Gpu | None
    sources: tuple[str, ...]
    assumed: str = ""

    @property
    def features(self) -> frozenset[str]:
        """What every core can do: a thread may be moved to any."""
        return frozenset.intersection(*(cluster.facts.features for cluster in self.clusters))


def device_names() -> list[str]:
    """Those that a model can be compiled for."""
    return [HOST, *sorted({path.stem for path in _files()})]


def measurable_names() -> list[str]:
    """Those that latency can be had on: this machine, and the phones that are connected."""
    from compiler.phone.choose import connected, may_be_timed, recognised

    try:
        phones = [each.facts for each in connected()[0] if may_be_timed(each.facts)]
    except MeasureError:
        return [HOST]
    return list(dict.fromkeys([HOST, *(name for facts in phones for name in recognised(facts))]))


def split_serial(device: str) -> tuple[str, str]:
    """The name, and the serial of the one phone that is meant: `galaxy-s20@R58N12ABCDE`. Without one, whichever is connected."""
    name, _, serial = device.partition("@")
    return name, serial


def find_device(name: str) -> Device:
    """
    Raises:
        UsageError: no such device, or a file that does not describe one.
    """
    check_device(name)
    path = next((path for path in _files() if path.stem == split_serial(name)[0]), None)
    if path is None:
        raise UsageError("host is this machine: `pocketformer bench` says what it can do")
    return read_device(path)


def read_device(path: Path) -> Device:
    """
    Raises:
        UsageError: the file cannot be read, or does not describe a device; the message names the field.
    """
    try:
        facts = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a device's TOML file: {error}") from error
    try:
        return _device(path.stem, facts)
    except KeyError as error:
        raise UsageError(f"{path} has no field {error}; take {CATALOGUE / 'galaxy-s20.toml'} as an example") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}; take {CATALOGUE / 'galaxy-s20.toml'} as an example") from error


def add_device(path: Path) -> Device:
    """Keep a user's own device; it is known by its file's name from now on.

    Raises:
        UsageError: as `read_device`, or a name that the catalogue has, or that none can have.
    """
    device = read_device(path)
    if "@" in device.name:
        raise UsageError(f"'{device.name}' has an @, which stands before a phone's serial; give the file another name")
    if device.name == HOST or (CATALOGUE / f"{device.name}.toml").exists():
        raise UsageError(f"'{device.name}' is in the catalogue; give the file another name")
    own = _own_folder()
    own.mkdir(parents=True, exist_ok=True)
    part = own / f".{device.name}.part"
    shutil.copyfile(path, part)
    part.replace(own / f"{device.name}.toml")
    return device


def check_device(name: str) -> None:
    """
    Raises:
        UsageError: no such device; the message lists them.
    """
    if name != HOST and split_serial(name)[0] not in device_names()[1:]:
        raise UsageError(f"unknown device '{name}'; take {', '.join(device_names())}")


def check_measurable(name: str) -> None:
    """
    Raises:
        UsageError: no such device, or no phone that is it is connected; what to do.
    """
    check_device(name)
    if name == HOST:
        return
    from compiler.phone.choose import find_phone

    try:
        find_phone(name)
    except MeasureError as error:
        raise UsageError(f"latency on {name} cannot be measured: {error}") from error


def is_measurable(name: str) -> bool:
    try:
        check_measurable(name)
    except UsageError:
        return False
    return True


def _device(name: str, facts: dict[str, Any]) -> Device:
    gpu = facts.get("gpu")
    device = Device(
        name=name,
        title=facts["title"],
        system=facts["system"],
        soc=facts["soc"],
        year=facts["year"],
        clusters=tuple(Cluster(**cluster | _power(cluster)) for cluster in facts["clusters"]),
        memory_gb_s=facts["memory_gb_s"],
        l3_kb=facts["l3_kb"],
        gpu=Gpu(**gpu) if gpu else None,
        sources=tuple(facts["sources"]),
        assumed=facts.get("assumed", ""),
    )
    if device.system not in SYSTEMS:
        raise ValueError(f"system '{device.system}' is none of {', '.join(SYSTEMS)}")
    unknown = [cluster.cpu for cluster in device.clusters if cluster.cpu not in CPUS]
    if unknown:
        raise ValueError(f"unknown cpu '{unknown[0]}'; known are {', '.join(CPUS)}")
    if not device.clusters or not device.sources:
        raise ValueError("at least one cluster and one source are needed")
    return device


def _power(cluster: dict[str, Any]) -> dict[str, Any]:
    """TOML's list as the pair that it is."""
    if "power_w" not in cluster:
        return {}
    least, most = cluster["power_w"]
    if not 0 < least <= most:
        raise ValueError(f"power_w is {cluster['power_w']}; give the least and the most watts")
    return {"power_w": (float(least), float(most))}


def _files() -> Iterator[Path]:
    yield from CATALOGUE.glob("*.toml")
    yield from _own_folder().glob("*.toml")


def _own_folder() -> Path:
    return home() / "devices"
