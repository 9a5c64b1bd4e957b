"""Measured latencies, and lists of architectures, from a user's CSV file: every row checked, an error names the line."""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from compiler.build import FUSIONS
from data.errors import ModelError, UsageError
from engine.architecture import DEFAULT_SEQ_LEN, Architecture, architecture_of
from engine.prediction.calibration import Measured
from engine.prediction.kernels import kernels_of
from engine.prediction.machine import machine_of

SIZES = ("layers", "hidden", "heads", "intermediate")
LATENCIES = ("total_ms", "latency_ms", "ms")
Row = Mapping[str, str]


def read_measured(path: Path, device: str, fusion: str = "lp") -> list[Measured]:
    """A file of latencies measured on a device; columns as `pocketformer calibrate --help` says.

    Args:
        fusion: of rows that do not say.

    Raises:
        UsageError: a file that cannot be read, lacks a column, or has a row that cannot be; the message names its line.
    """
    found = []
    for line, row in _rows(path, needed=LATENCIES):
        try:
            found.append(_measured(row, device, fusion))
        except (UsageError, ValueError) as error:
            raise UsageError(f"{path}, line {line}: {error}") from error
    return found


def read_architectures(path: Path) -> list[tuple[str, Architecture, int]]:
    """Names, architectures and sequence lengths of a file's rows; columns as of measurements, without the latency.

    Raises:
        UsageError: as `read_measured`.
    """
    found = []
    for line, row in _rows(path):
        try:
            model, seq_len = _architecture(row), _whole(row, "seq_len", DEFAULT_SEQ_LEN)
        except UsageError as error:
            raise UsageError(f"{path}, line {line}: {error}") from error
        found.append((row.get("architecture") or str(model), model, seq_len))
    return found


def _rows(path: Path, needed: tuple[str, ...] = ()) -> Iterator[tuple[int, Row]]:
    """Lines and their cells."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if "architecture" not in columns and not set(SIZES) <= set(columns):
                raise UsageError(f"{path} has neither a column architecture nor {', '.join(SIZES)}")
            if needed and not set(needed) & set(columns):
                raise UsageError(f"{path} has no column {' or '.join(needed)}")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as CSV: {getattr(error, 'strerror', None) or error}") from error
    if not rows:
        raise UsageError(f"{path} has no rows below its header")
    yield from rows


def _measured(row: Row, device: str, otherwise: str) -> Measured:
    model = _architecture(row)
    precision, fusion = row.get("precision") or "fp32", row.get("fusion") or otherwise
    if fusion not in FUSIONS:
        raise UsageError(f"fusion '{fusion}' is none of {', '.join(FUSIONS)}")
    machine = machine_of(device, _whole(row, "threads", 0) or None, precision, row.get("cluster") or None)
    seq_len = _whole(row, "seq_len", DEFAULT_SEQ_LEN)
    works = kernels_of(model, seq_len, fusion, precision, _whole(row, "batch", 1))
    family = (model.kind, model.hidden_size, model.heads, max(model.ffn_sizes))
    return Measured(works, machine, _latency(row), family, fusion, precision, f"{model}, {seq_len} tokens")


def _architecture(row: Row) -> Architecture:
    if row.get("architecture"):
        try:
            return architecture_of(row["architecture"])
        except ModelError as error:
            raise UsageError(str(error)) from error
    layers, hidden, heads, ffn = (_whole(row, name, 0) for name in SIZES)
    return Architecture(hidden, heads, (ffn,) * layers)


def _whole(row: Row, name: str, otherwise: int) -> int:
    text = (row.get(name) or "").strip()
    if not text and (otherwise or name not in SIZES):
        return otherwise
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{name} is '{text}'; give a whole number above 0")
    return int(text)


def _latency(row: Row) -> float:
    name = next(name for name in LATENCIES if name in row)
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} is '{row[name] or ''}'; give milliseconds above 0")
    return value
