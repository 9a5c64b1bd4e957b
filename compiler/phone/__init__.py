"""Android phones over adb: which are connected, what they are, and a compiled model's latency and answers on one.

`choose` finds the phone that a device of the catalogue means, `timing` measures on it, `model` answers on it, `check` says whether it is
fit for that. Beneath: `adb` runs commands, `files` puts files there, `running` programs, `facts` and `heat` read what the phone says.
"""
