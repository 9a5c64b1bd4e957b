"""What a connected phone says of itself."""

import re
from dataclasses import dataclass

from compiler.phone.adb import Phone

_SCRIPT = """for name in ro.product.manufacturer ro.product.model ro.soc.manufacturer ro.soc.model ro.board.platform \
ro.build.version.release ro.product.cpu.abilist ro.kernel.qemu ro.boot.qemu; do echo $name=$(getprop $name); done
cat /proc/cpuinfo
for core in /sys/devices/system/cpu/cpu[0-9]*; do
echo core=${core##*cpu} $(cat $core/cpufreq/cpuinfo_max_freq); done 2>/dev/null
grep Cpus_allowed_list /proc/self/status
grep MemAvailable /proc/meminfo
echo space=$(df -Pk /data/local/tmp | tail -n 1)"""

# Implementer and part of a core's MIDR_EL1, as Linux names them: arch/arm64/include/asm/cputype.h. Qualcomm's Kryo 2xx to 4xx are Arm's
# cores with its own numbers.
PARTS = {
    (0x41, 0xD03): "cortex-a53",
    (0x41, 0xD05): "cortex-a55",
    (0x41, 0xD08): "cortex-a72",
    (0x41, 0xD09): "cortex-a73",
    (0x41, 0xD0A): "cortex-a75",
    (0x41, 0xD0B): "cortex-a76",
    (0x41, 0xD0D): "cortex-a77",
    (0x41, 0xD41): "cortex-a78",
    (0x41, 0xD44): "cortex-x1",
    (0x41, 0xD46): "cortex-a510",
    (0x41, 0xD47): "cortex-a710",
    (0x41, 0xD48): "cortex-x2",
    (0x41, 0xD4D): "cortex-a715",
    (0x41, 0xD4E): "cortex-x3",
    (0x41, 0xD80): "cortex-a520",
    (0x41, 0xD81): "cortex-a720",
    (0x41, 0xD82): "cortex-x4",
    (0x51, 0x001): "oryon",
    (0x51, 0x800): "cortex-a73",
    (0x51, 0x801): "cortex-a53",
    (0x51, 0x802): "cortex-a75",
    (0x51, 0x803): "cortex-a55",
    (0x51, 0x804): "cortex-a76",
    (0x51, 0x805): "cortex-a55",
}


@dataclass(frozen=True)
class Core:
    """`cpu`: as `compiler.devices.cpus` names it, else implementer and part; empty where the phone does not tell. `mhz`: its highest
    clock, 0 where the phone does not tell. `allowed`: whether a program of the shell's may run on it."""

    number: int
    cpu: str
    mhz: int
    allowed: bool


@dataclass(frozen=True)
class Facts:
    """`features`: what every core can do, as /proc/cpuinfo names it. Free memory and space (of /data/local/tmp) in MB."""

    model: str
    soc: str
    android: str
    abis: tuple[str, ...]
    is_emulated: bool
    cores: tuple[Core, ...]
    features: frozenset[str]
    free_memory_mb: int
    free_space_mb: int

    @property
    def title(self) -> str:
        return f"{self.model}, Android {self.android}" if self.android else self.model

    def fastest(self, count: int) -> tuple[int, ...]:
        """Numbers of the fastest cores that may be used, at most so many; none where the phone does not tell clocks."""
        usable = sorted((core for core in self.cores if core.allowed), key=lambda core: (-core.mhz, core.number))
        return tuple(core.number for core in usable[:count]) if all(core.mhz for core in usable) else ()


def read_facts(phone: Phone) -> Facts:
    """
    Raises:
        DeviceLost: it went away.
        MeasureError: it has no usual shell.
    """
    return facts_of(phone.shell(_SCRIPT))


def facts_of(text: str) -> Facts:
    """From what the script above prints."""
    known = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"(ro\.[\w.]+|space)=", line))
    allowed = _numbers(_after("Cpus_allowed_list:", text))
    cpus, features = _cpuinfo(text)
    clocks = {int(core): int(khz or 0) // 1000 for core, khz in re.findall(r"^core=(\d+) ?(\d*)$", text, re.MULTILINE)}
    numbers = sorted(clocks) or sorted(cpus)
    maker, model = known.get("ro.product.manufacturer", ""), known.get("ro.product.model", "")
    space = known.get("space", "").split()
    return Facts(
        model=model if model.lower().startswith(maker.lower()) else f"{maker} {model}",
        soc=known.get("ro.soc.model") or known.get("ro.board.platform", ""),
        android=known.get("ro.build.version.release", ""),
        abis=tuple(filter(None, known.get("ro.product.cpu.abilist", "").split(","))),
        is_emulated="1" in (known.get("ro.kernel.qemu"), known.get("ro.boot.qemu")),
        cores=tuple(Core(n, cpus.get(n, ""), clocks.get(n, 0), not allowed or n in allowed) for n in numbers),
        features=features,
        free_memory_mb=int((_after("MemAvailable:", text).split() or ["0"])[0]) >> 10,
        free_space_mb=int(space[3]) >> 10 if len(space) > 3 else 0,
    )


def _cpuinfo(text: str) -> tuple[dict[int, str], frozenset[str]]:
    """Names of the cores that are awake, and what all of them can do."""
    names: dict[int, str] = {}
    features: list[frozenset[str]] = []
    number = implementer = 0
    for line in text.splitlines():
        key, _, value = (word.strip() for word in line.partition(":"))
        if key == "processor" and value.isdecimal():
            number = int(value)
        elif key == "Features":
            features.append(frozenset(value.split()))
        elif key == "CPU implementer":
            implementer = int(value, 16)
        elif key == "CPU part":
            names[number] = PARTS.get((implementer, int(value, 16)), f"{implementer:#x}/{int(value, 16):#x}")
    return names, frozenset.intersection(*features) if features else frozenset()


def _after(key: str, text: str) -> str:
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(key)), "")


def _numbers(ranges: str) -> set[int]:
    """`0-3,6` as Linux writes sets of cores."""
    found: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
