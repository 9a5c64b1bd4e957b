"""Asking the answering process (`app.bundles.answerer`), which starts with the first question and again when it has died."""

import json
import select
import subprocess
import threading
import time
from typing import Any

from compiler.process import module_command, module_environment
from data.errors import PocketformerError

PATIENCE_S = {"model": 60.0, "teacher": 180.0}  # a teacher is loaded with torch, and its task is read, at the first question


class Answerer:
    """One process for all browsers; questions are answered one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, who: str, **question: Any) -> dict[str, Any]:
        """The answer.

        Raises:
            PocketformerError: what it could not answer, in one line; it died, or took too long and was ended.
        """
        with self._lock:
            answer = self._asked({"who": who, **question}, PATIENCE_S[who])
        if "error" in answer:
            raise PocketformerError(answer["error"])
        return answer

    def close(self) -> None:
        with self._lock:
            self._end()

    def _asked(self, question: dict[str, Any], patience_s: float) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            line = _line(process, patience_s)
        except OSError:
            line = b""
        if line:
            return json.loads(line)
        waited = process.poll() is None
        self._end()
        what = f"gave no answer within {patience_s:.0f} s and was ended" if waited else "ended without an answer"
        raise PocketformerError(f"the process that runs models {what}; try again")

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                module_command("app.bundles.answerer"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=module_environment(), bufsize=0
            )  # fmt: skip
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _line(process: "subprocess.Popen[bytes]", patience_s: float) -> bytes:
    """The next line; empty where the process ended, or took longer."""
    assert process.stdout is not None
    deadline = time.monotonic() + patience_s
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return b""
        part = process.stdout.read(1 << 16)
        if not part:
            return b""
        line += part
    return line
