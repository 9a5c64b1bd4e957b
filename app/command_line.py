"""A search as the command that would start it. Pure."""

import shlex

from engine.settings import Settings

ALWAYS = ("task", "device", "latency_ms")  # whatever their defaults are on the machine where it is pasted
LEFT_OUT = ("screened", "parallel", "predicted")  # settings that the command does not take


def command_of(settings: Settings) -> str:
    """`pocketformer search …` with what differs from the defaults."""
    defaults = Settings()
    words = ["pocketformer", "search"]
    for name in Settings.names():
        value = getattr(settings, name)
        if name in LEFT_OUT or (name not in ALWAYS and value == getattr(defaults, name)):
            continue
        if name == "also":
            for device, limit_ms in value.items():
                words += ["--also", shlex.quote(f"{device}={limit_ms:g}")]
            continue
        text = (
            ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
        )
        words += [f"--{name.replace('_', '-')}", shlex.quote(text)]
    return " ".join(words)
