"""The devices that models are compiled for and measured on."""

from data.errors import UsageError

HOST = "host"
_DEVICES = {HOST: "this machine"}


def device_names() -> list[str]:
    return list(_DEVICES)


def check_device(name: str) -> None:
    """
    Raises:
        UsageError: no such device; the message lists them.
    """
    if name not in _DEVICES:
        raise UsageError(f"unknown device '{name}'; take {', '.join(device_names())}")
