"""What a user asks of one search, as one flat value: prefilled so that Start works at once, checked before anything is written.

Names that live elsewhere (task, device, teacher) are checked by their owners when a run starts (`jobs.driver.start_run`); here
are the checks that need no file and no library, so that the page can say what is wrong while the user types.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from compiler.targets import precisions_of
from data.errors import UsageError
from engine.strategies import strategy_names

LOSSES = ("logits", "hidden", "attention")
AUTO, MEASURED, PREDICTED = "auto", "measured", "predicted"
LATENCIES = (AUTO, MEASURED, PREDICTED)
TRAINED, SUPERNET = "trained", "supernet"
ACCURACIES = (TRAINED, SUPERNET)
JOINT, PROGRESSIVE, AUXILIARY = "joint", "progressive", "auxiliary"
SCHEDULES = (JOINT, PROGRESSIVE, AUXILIARY)


def default_task() -> str:
    """STS-B where a folder of GLUE files is set, else a task that the project generates: no network is needed for either."""
    return "stsb" if os.environ.get("POCKETFORMER_GLUE_DIR") else "paraphrase"


@dataclass(frozen=True)
class Settings:
    """One search: what to learn, from whom, for which device, how fast, and how hard to look.

    Raises:
        UsageError: a value that no search can have; one line that names it and says what to give.
    """

    task: str = field(default_factory=default_task)
    teacher: str = "minilm"
    device: str = "host"
    latency_ms: float = 5.0  # the limit rL of CANAO section 3.3: batch 1, `seq_len` tokens, median
    also: Mapping[str, float] = field(default_factory=dict, hash=False)  # further devices, each with its own limit in ms
    model_mb: float | None = None  # limits besides latency, None: none. Of the weights in a bundle,
    memory_mb: float | None = None  # of the memory that a process holds at most, on each device,
    energy_mj: float | None = None  # and of one inference's energy, predicted (`engine.constraints`)
    latency: str = AUTO  # measured, predicted, or whichever each device allows; a run keeps to what it began with
    predicted: tuple[str, ...] = ()  # devices whose latency is predicted all the same; of latency auto, those not at hand
    trials: int = 8  # candidates compiled and measured; those within the limit are trained too
    strategy: str = "bayes"
    seed: int = 0
    text: str | None = None  # unlabelled, for distillation: a file, a .gz or a folder; None: the task's own and generated
    seq_len: int = 128  # tokens
    precision: str = "fp32"
    threads: int | None = None  # of a measured inference; None: the device's physical cores
    screened: int = 4  # samples compared by predicted latency for each trial; 1: each sample gets its trial, as in CANAO
    phases: int = 0  # 2: layers first, then sizes, as CANAO; 1: everything at once; 0: what the strategy is made for
    phase_one_share: float = 0.375  # of the trials, which look for the depth; the others for the sizes at that depth
    baseline_decay: float = 0.8  # of the past in the reward's baseline; the paper gives none, and 8 to 100 trials must move it
    parallel: int = 1  # candidates under way at once; more than one pays off with more than one training worker
    accuracy: str = TRAINED  # each candidate for itself, as in CANAO; or supernet: read off networks that all candidates share
    early_epochs: int = 1  # the early-stage accuracy of CANAO section 3.3; of the supernet: of each of its networks
    final_epochs: int = 3  # of the best candidate, trained to the end
    final_seeds: int = (
        1  # that it is fine-tuned with, each from the same body; the first one's weights ship, whatever the others score
    )
    distil_tokens: int = (
        200_000  # read by each shared body (one for a depth and hidden size), and by the best one again; cached
    )
    distil_seconds: int = 600  # for the same, at most: a body that is cut off by it is not repeatable; 0: no distillation
    # Of distillation; none: plain fine-tuning (CANAO Table 3 compares the two). "logits" fine-tunes the whole teacher first, which takes
    # minutes. On MRPC it is worth 0.9 points of F1; on STS-B a student distilled by the other two comes within 1.1 points of that teacher.
    losses: tuple[str, ...] = ("hidden", "attention")
    # A model whose answers on the task students learn, in place of the teacher's: any classifier of transformers, with a tokenizer of its own.
    logits_teacher: str | None = None
    # MobileBERT's (Sun et al. 2020, section 3.4). joint: a body learns from all layers of the teacher at once, then its task; progressive: from
    # one layer after the other; auxiliary: nothing before the task, and from the layers beside it.
    schedule: str = JOINT
    depths: tuple[int, ...] = ()  # the search space; nothing: derived from the teacher (`engine.space`)
    hidden_sizes: tuple[int, ...] = ()
    ffn_sizes: tuple[int, ...] = ()
    architecture: str = ""  # this one and no other: nothing is searched, it is trained to the end, compiled and packed

    def __post_init__(self) -> None:
        for name in ("task", "teacher", "device"):
            _require(bool(getattr(self, name).strip()), f"{name} is empty; give a name")
        _require(
            math.isfinite(self.latency_ms) and self.latency_ms > 0,
            f"latency target {self.latency_ms:g} ms: give a number of milliseconds above 0",
        )
        for device, limit_ms in self.also.items():
            _require(bool(device.strip()), "a further device is empty; give a name")
            _require(device != self.device, f"'{device}' is the first device already; give others beside it")
            _require(
                math.isfinite(limit_ms) and limit_ms > 0,
                f"latency target {limit_ms:g} ms on {device}: give a number of milliseconds above 0",
            )
        for name, unit in (("model_mb", "megabytes"), ("memory_mb", "megabytes"), ("energy_mj", "millijoules")):
            value = getattr(self, name)
            _require(value is None or (math.isfinite(value) and value > 0), f"{name} is {value}; give {unit} above 0")
        for device in self.predicted:
            _require(device in self.limits, f"predicted names '{device}', which is none of {', '.join(self.limits)}")
        for name in ("trials", "seq_len", "screened", "parallel", "early_epochs", "final_epochs", "final_seeds"):
            value = getattr(self, name)
            _require(value >= 1, f"{name} is {value}; give 1 or more")
        for name in ("phase_one_share", "baseline_decay"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"{name} is {value:g}; give 0 to 1")
        _require(self.phases in (0, 1, 2), f"phases is {self.phases}; give 2, 1, or 0 for the strategy's own")
        for name in ("seed", "distil_tokens", "distil_seconds"):
            value = getattr(self, name)
            _require(value >= 0, f"{name} is {value}; give 0 or more")
        _require(self.threads is None or self.threads >= 1, f"threads is {self.threads}; give 1 or more")
        _require_known("strategy", self.strategy, strategy_names())
        for device in self.limits:
            _require_known("precision", self.precision, precisions_of(device))
        _require_known("latency", self.latency, LATENCIES)
        _require_known("accuracy", self.accuracy, ACCURACIES)
        _require_known("schedule", self.schedule, SCHEDULES)
        for loss in self.losses:
            _require_known("loss", loss, LOSSES)
        for name in ("depths", "hidden_sizes", "ffn_sizes"):
            _require(all(size >= 1 for size in getattr(self, name)), f"{name} must be whole numbers above 0")

    @property
    def limits(self) -> dict[str, float]:
        """Each device's limit in ms, the first device first: a candidate has to meet all."""
        return {self.device: self.latency_ms, **self.also}

    def is_predicted(self, device: str) -> bool:
        """Whether latency on one of the devices is predicted, not measured."""
        return self.latency == PREDICTED or device in self.predicted

    def on(self, device: str) -> "Settings":
        """The same search for one of its devices alone."""
        latency = PREDICTED if self.is_predicted(device) else self.latency
        return replace(self, device=device, latency_ms=self.limits[device], also={}, latency=latency, predicted=())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Settings":
        """Settings from JSON or a form; what is not given keeps its default.

        Raises:
            UsageError: an unknown name, a wrong type, or an impossible value.
        """
        types = get_type_hints(cls)
        unknown = sorted(set(values) - set(types))
        _require(not unknown, f"unknown setting '{', '.join(unknown)}'; known are {', '.join(types)}")
        return cls(**{name: _converted(name, value, types[name]) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(each.name for each in fields(cls))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _require_known(what: str, name: str, known: tuple[str, ...]) -> None:
    _require(name in known, f"unknown {what} '{name}'; take one of {', '.join(known)}")


def _converted(name: str, value: Any, wanted: Any) -> Any:
    """`value` as the field's type, where JSON and forms leave no doubt; strings are never turned into numbers."""
    if isinstance(wanted, UnionType):
        options = [option for option in get_args(wanted) if option is not type(None)]
        return None if value is None else _converted(name, value, options[0])
    if get_origin(wanted) is tuple:
        _require(isinstance(value, list | tuple), f"{name} must be a list")
        return tuple(_converted(name, item, get_args(wanted)[0]) for item in value)
    if get_origin(wanted) is Mapping:
        _require(isinstance(value, Mapping), f"{name} must have a number for each name")
        return {str(key): _converted(f"{name} of {key}", item, get_args(wanted)[1]) for key, item in value.items()}
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is int and isinstance(value, float) and value.is_integer():
        return int(value)
    _require(isinstance(value, wanted) and not isinstance(value, bool), f"{name} is {value!r}; give a {_spoken[wanted]}")
    return value


_spoken = {str: "text", int: "whole number", float: "number"}
