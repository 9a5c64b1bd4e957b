"""Where an inference's time went, as `bench --profile` measured it last: kept for each architecture and device, for pages to draw."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from data.home import subfolder


@dataclass(frozen=True)
class Profile:
    """Kernel calls of one inference of `seq_len` tokens, in order: (name, microseconds). `median_ms`: of whole inferences beside it."""

    architecture: str
    device: str
    precision: str
    seq_len: int
    threads: int
    median_ms: float
    calls: list[tuple[str, float]]


def keep(profile: Profile) -> None:
    """Written whole or not at all; replaces an earlier one."""
    path = _path(profile.architecture, profile.device, profile.precision, profile.seq_len)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(profile)) + "\n", encoding="utf-8")
    part.replace(path)


def kept(architecture: str, device: str, precision: str = "fp32", seq_len: int = 128) -> Profile | None:
    """None where there is none, or a damaged one."""
    try:
        values = json.loads(_path(architecture, device, precision, seq_len).read_text(encoding="utf-8"))
        return Profile(**{**values, "calls": [(name, us) for name, us in values["calls"]]})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _path(architecture: str, device: str, precision: str, seq_len: int) -> Path:
    key = hashlib.sha256("\n".join((architecture, device, precision, str(seq_len))).encode()).hexdigest()[:16]
    return subfolder("profiles") / f"{key}.json"
