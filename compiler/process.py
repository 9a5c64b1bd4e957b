"""Starting this project's own modules in processes of their own."""

import contextlib
import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BACKGROUND = 10  # niceness: a tenth of a core that others want whole


def module_command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def module_environment() -> dict[str, str]:
    """This process's environment, in which the project's packages are found from any working directory."""
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def stay_in_the_background() -> None:
    """Leave the cores to others from now on, as far as they want them."""
    os.setpriority(os.PRIO_PROCESS, 0, BACKGROUND)
    # Linux weighs sessions against each other first, where it groups by them (sched(7), autogroup).
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(BACKGROUND))
