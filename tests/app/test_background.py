"""Work in the background: real commands, each in a process of its own."""

import pytest

from app import background
from data.errors import PocketformerError


@pytest.fixture
def key(request, fresh_home):
    name = request.node.name
    yield name
    work = background.find(name)
    if work is not None:
        work.cancel()
        assert work.wait(20)
        background.forget(name)
    assert background.find(name) is None


def test_a_command_ends_with_its_result(key):
    work = background.begin(key, ["show", "minilm-l6"])
    assert work.wait(60)
    assert (work.result["layers"], work.error) == (6, "")
    assert background.find(key) is work


def test_a_failure_is_its_one_line(key):
    work = background.begin(key, ["show", "nosuch"])
    assert work.wait(60)
    assert work.result is None
    assert work.error.startswith("unknown model 'nosuch'")


def test_work_that_runs_is_begun_once_and_can_be_cancelled(key, monkeypatch):
    monkeypatch.setattr(background, "MOST_RUNNING", 1)
    work = background.begin(key, ["fuse", "bert-base"])
    assert background.begin(key, ["fuse", "bert-base"]) is work
    with pytest.raises(PocketformerError, match="run already"):
        background.begin(f"{key} too", ["show", "minilm-l6"])
    work.cancel()
    assert work.wait(20)
    assert (work.result, work.error, work.cancelled) == (None, "it was cancelled", True)


def test_progress_is_heard_line_by_line(key):
    work = background.begin(key, ["calibrate", "--device", "host", "--budget", "1000"])
    assert work.wait(60)
    assert work.error.startswith("--budget 1000: there are")
    work._lines.append("3 of 8: compiling L2")
    assert work.fraction == pytest.approx(2 / 8)
