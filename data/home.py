"""Where Pocketformer keeps its state: `POCKETFORMER_HOME`, by default `~/.local/share/pocketformer`."""

import os
from pathlib import Path


def home() -> Path:
    """The state folder, made on first use."""
    path = Path(os.environ.get("POCKETFORMER_HOME") or Path.home() / ".local" / "share" / "pocketformer").expanduser()
    path.mkdir(parents=True, exist_ok=True)
    return path


def subfolder(*names: str) -> Path:
    """A folder below `home()`, made on first use: `subfolder("cache", "kernels")`."""
    path = home().joinpath(*names)
    path.mkdir(parents=True, exist_ok=True)
    return path
