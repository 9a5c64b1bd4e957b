"""The machine-wide lock: measurements alone, work side by side, no starvation, nothing left behind by a killed process."""

import subprocess
import sys
import threading
import time

import pytest

from compiler.quiet import busy, quiet
from data.errors import Cancelled

HOLD_BUSY = "import sys,time\nfrom compiler.quiet import busy\nwith busy():\n print('in', flush=True); time.sleep(60)\n"


def test_work_runs_side_by_side(fresh_home):
    with busy(), busy():
        pass


def test_a_measurement_waits_for_work_in_another_process_and_outlives_its_death(fresh_home):
    worker = subprocess.Popen([sys.executable, "-c", HOLD_BUSY], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    worker.stdout.readline()
    deadline = time.monotonic() + 0.2
    with pytest.raises(Cancelled), quiet(should_stop=lambda: time.monotonic() > deadline):
        pass
    worker.kill()
    worker.wait()
    with quiet():
        pass


def test_a_measurement_gets_in_between_the_steps_of_endless_work(fresh_home):
    stop = threading.Event()
    inside = threading.Event()
    overlaps = []

    def train() -> None:
        while not stop.is_set():
            with busy():
                overlaps.append(inside.is_set())
                time.sleep(0.002)

    workers = [threading.Thread(target=train) for _ in range(3)]
    for worker in workers:
        worker.start()
    start = time.monotonic()
    for _ in range(5):
        with quiet():
            inside.set()
            time.sleep(0.01)
            inside.clear()
    waited = time.monotonic() - start
    stop.set()
    for worker in workers:
        worker.join()
    assert waited < 5
    assert overlaps
    assert not any(overlaps)
