"""The device's side of adb on loopback, so that a real `adb` client can push to it and run AArch64 programs, under QEMU: the other half of
`phone_double`.

What a phone has at /data/local/tmp, /sys and in /proc/cpuinfo lies in a folder; `getprop` and `dumpsys` are programs in its `bin`; a file
`full` in it leaves no space. `phone_daemon.py FOLDER PORT STAGE`; at STAGE it dies, as a phone that is unplugged.
"""

import os
import queue
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

# AOSP, packages/modules/adb: protocol.txt, SYNC.TXT, shell_protocol.h
CONNECT, OPEN, OKAY, WRITE, CLOSE = (int.from_bytes(name, "little") for name in (b"CNXN", b"OPEN", b"OKAY", b"WRTE", b"CLSE"))
VERSION, LARGEST = 0x01000000, 64 << 10
STDIN, STDOUT, STDERR, EXIT, STDIN_ENDS = range(5)
FEATURES = "shell_v2,cmd"
EMULATOR = "qemu-aarch64 -cpu max"
STARTED_S = 0.05
PROGRAM = re.compile(r"/data/local/tmp/\S+ --")  # a line that starts one of those that were pushed


class Gone(Exception):
    """The other end closed the connection or a stream."""


class Stream:
    """One service's bytes in both directions."""

    def __init__(self, link: "Link", here: int, there: int) -> None:
        self._link, self._here, self._there = link, here, there
        self._arrived: queue.Queue[bytes | None] = queue.Queue()
        self._rest = b""
        self.taken = threading.Semaphore(0)
        self.is_open = True

    def arrive(self, data: bytes | None) -> None:
        self._arrived.put(data)

    def read(self, count: int) -> bytes:
        while len(self._rest) < count:
            data = self._arrived.get()
            if data is None:
                raise Gone
            self._rest += data
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), LARGEST):
            if not self.is_open:
                raise Gone
            self._link.send(WRITE, self._here, self._there, data[start : start + LARGEST])
            self.taken.acquire()

    def ended(self) -> None:
        self.is_open = False
        self.arrive(None)
        self.taken.release()

    def close(self) -> None:
        if self.is_open:
            self._link.send(CLOSE, self._here, self._there)


class Link:
    """A connection of adb's server."""

    def __init__(self, connection: socket.socket, device: "Device") -> None:
        self._connection, self._device = connection, device
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        head = struct.pack("<6I", command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        with self._sending:
            self._connection.sendall(head + data)

    def serve(self) -> None:
        try:
            while True:
                command, there, here, count, _, _ = struct.unpack("<6I", self._receive(24))
                self._handle(command, there, here, self._receive(count))
        except (Gone, OSError):
            self._device.hang_up()
            for stream in self._streams.values():
                stream.ended()

    def _handle(self, command: int, there: int, here: int, data: bytes) -> None:
        if command == CONNECT:
            banner = f"device::ro.product.name=double;ro.product.model=Double;ro.product.device=double;features={FEATURES}"
            self.send(CONNECT, VERSION, LARGEST, banner.encode())
        elif command == OPEN:
            here = len(self._streams) + 1
            stream = self._streams[here] = Stream(self, here, there)
            self.send(OKAY, here, there)
            threading.Thread(target=self._device.serve, args=(stream, data.rstrip(b"\0").decode()), daemon=True).start()
        elif command == WRITE:
            self._streams[here].arrive(data)
            self.send(OKAY, here, there)
        elif command == OKAY:
            self._streams[here].taken.release()
        elif command == CLOSE and here in self._streams:
            self._streams[here].ended()

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._connection.recv(count - len(data))
            if not more:
                raise Gone
            data += more
        return data


class Device:
    """What adb's services do on this phone."""

    def __init__(self, folder: Path, dies_at: str) -> None:
        self._folder, self._dies_at = folder, dies_at
        self._shells: set[subprocess.Popen[bytes]] = set()

    def serve(self, stream: Stream, service: str) -> None:
        try:
            if service.startswith("shell,v2"):
                self._shell(stream, service.partition(":")[2])
            elif service == "sync:":
                self._sync(stream)
            stream.close()
        except (Gone, OSError):
            pass

    def hang_up(self) -> None:
        """As adb's daemon does when its connection breaks."""
        for shell in list(self._shells):
            shell.send_signal(signal.SIGHUP)

    def _dies(self, stage: str) -> None:
        if stage == self._dies_at:
            self.hang_up()
            os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, line: str) -> None:
        with (self._folder / "log").open("a") as log:
            log.write(f"{line}\n")

    def _shell(self, stream: Stream, script: str) -> None:
        programs = [line for line in script.splitlines() if PROGRAM.match(line)]
        runs_model = bool(programs)
        if runs_model:
            self._note(f"run {programs[0]}")
            self._dies("start")
        environment = {**os.environ, "PATH": f"{self._folder}/bin:{os.environ['PATH']}"}
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        shell = subprocess.Popen(["/bin/sh", "-c", self._here(script)], env=environment, **pipes)
        self._shells.add(shell)
        if runs_model and self._dies_at == "run":
            time.sleep(STARTED_S)
            self._dies("run")
        threading.Thread(target=self._feed, args=(stream, shell), daemon=True).start()
        pumps = [
            threading.Thread(target=self._pump, args=(stream, kind, pipe, runs_model), daemon=True)
            for kind, pipe in ((STDOUT, shell.stdout), (STDERR, shell.stderr))
        ]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        status = shell.wait()
        self._shells.discard(shell)
        stream.write(struct.pack("<BIB", EXIT, 1, status & 0xFF))

    def _here(self, script: str) -> str:
        """The script with this folder's paths, and with what is started from there under the emulator."""
        there = re.sub(r"(?<![\w/.])(/data/local/tmp|/sys/|/proc/cpuinfo)", rf"{self._folder}\1", script)
        return re.sub(rf"(?m)^(?={re.escape(str(self._folder))}\S+ --)", f"{EMULATOR} ", there)

    def _feed(self, stream: Stream, shell: "subprocess.Popen[bytes]") -> None:
        assert shell.stdin is not None
        try:
            while True:
                kind, count = struct.unpack("<BI", stream.read(5))
                data = stream.read(count)
                if kind == STDIN_ENDS:
                    break
                if kind == STDIN:
                    os.write(shell.stdin.fileno(), data)
        except (Gone, OSError):
            pass
        shell.stdin.close()

    def _pump(self, stream: Stream, kind: int, pipe: Any, runs_model: bool) -> None:
        try:
            while data := os.read(pipe.fileno(), 4096):
                if runs_model and kind == STDOUT and self._dies_at == "answer":
                    data = data[: len(data) // 2]
                stream.write(struct.pack("<BI", kind, len(data)) + data)
                if runs_model:
                    self._dies("answer")
        except (Gone, OSError):
            pass

    def _sync(self, stream: Stream) -> None:
        while True:
            command, count = self._request(stream)
            if command == b"QUIT":
                return
            argument = stream.read(count).decode()
            if command == b"STAT":
                stream.write(struct.pack("<4s3I", b"STAT", *self._stat(self._path(argument))))
            elif command == b"SEND":
                self._take(stream, *argument.rsplit(",", 1))
            elif command == b"RECV":
                self._give(stream, self._path(argument))

    def _take(self, stream: Stream, name: str, mode: str) -> None:
        path, total = self._path(name), 0
        with path.open("wb") as file:
            while (request := self._request(stream))[0] == b"DATA":
                file.write(stream.read(request[1]))
                file.flush()
                total += request[1]
                self._dies("push")
        if (self._folder / "full").exists():  # said once all has been read, as adb's daemon does
            refusal = b"couldn't write: No space left on device"
            stream.write(struct.pack("<4sI", b"FAIL", len(refusal)) + refusal)
            return
        path.chmod(int(mode) & 0o777)
        self._note(f"push {path.name} {total}")
        stream.write(struct.pack("<4sI", b"OKAY", 0))

    def _give(self, stream: Stream, path: Path) -> None:
        with path.open("rb") as file:
            while data := file.read(LARGEST // 2):
                stream.write(struct.pack("<4sI", b"DATA", len(data)) + data)
        stream.write(struct.pack("<4sI", b"DONE", 0))

    def _request(self, stream: Stream) -> tuple[bytes, int]:
        return struct.unpack("<4sI", stream.read(8))

    def _stat(self, path: Path) -> tuple[int, int, int]:
        if not path.exists():
            return 0, 0, 0
        found = path.stat()
        return found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime)

    def _path(self, name: str) -> Path:
        return self._folder / name.lstrip("/")


def main() -> None:
    folder, port, dies_at = sys.argv[1:]
    device = Device(Path(folder), dies_at)
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        print("listening", flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Link(connection, device).serve, daemon=True).start()


if __name__ == "__main__":
    main()
