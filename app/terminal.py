"""What the command writes besides its result: progress, on standard error, so that standard output stays one JSON object."""

import sys
import time
from collections.abc import Sequence

_BAR = 24


class Progress:
    """Lines of a log, and under them one bar redrawn in place when standard error is a terminal."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._drawn = False
        self._start = time.monotonic()

    def log(self, message: str) -> None:
        self._clear()
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        print(f"{minutes:3d}:{seconds:02d}  {message}", file=sys.stderr, flush=True)

    def bar(self, message: str, fraction: float) -> None:
        if self._live:
            filled = round(_BAR * min(max(fraction, 0.0), 1.0))
            print(
                f"\r\x1b[K{'━' * filled}{'─' * (_BAR - filled)} {fraction:4.0%}  {message}", end="", file=sys.stderr, flush=True
            )
            self._drawn = True

    def close(self) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = False


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned by their widest cell; numbers to the right. An absent value is a dash."""
    cells = [["–" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(name), *(len(row[i]) for row in cells)) if cells else len(name) for i, name in enumerate(header)]
    right = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(header))]
    lines = [header, *cells]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in lines
    )
