"""Small encoders, exported and compiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encoders import encoder, export

from compiler.build import BuildRequest


@pytest.fixture(scope="session")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., BuildRequest]:
    """Makes the request for an encoder of the given sizes."""

    def make(seq_len: int = 16, count: int = 4, **sizes: Any) -> BuildRequest:
        return export(encoder(**sizes), tmp_path_factory.mktemp("model"), seq_len, count)

    return make


@pytest.fixture(scope="session")
def compiled(request_of: Callable[..., BuildRequest], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled tiny encoder: S 16, H 64, two outputs."""
    from compiler.build import build

    return build(request_of(), tmp_path_factory.mktemp("built") / "model").folder
