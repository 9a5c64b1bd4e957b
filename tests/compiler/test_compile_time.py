"""What a compilation does not do again: type hints that torch asks for, the linker's C library."""

import typing

import pytest
import torch

from compiler import zig
from compiler.isa import host
from compiler.torch_load import load_program


def test_the_program_is_the_one_that_torch_reads(request_of):
    path = request_of().program
    ours, theirs = load_program(path), torch.export.load(path)
    assert ours.graph_module.code == theirs.graph_module.code
    assert str(ours.graph_signature) == str(theirs.graph_signature)
    assert ours.state_dict.keys() == theirs.state_dict.keys()
    assert all(torch.equal(ours.state_dict[name], tensor) for name, tensor in theirs.state_dict.items())


def test_type_hints_are_found_anew_afterwards(request_of, tmp_path):
    original = typing.get_type_hints
    load_program(request_of().program)
    assert typing.get_type_hints is original
    (tmp_path / "broken.pt2").write_bytes(b"no program")
    with pytest.raises(Exception, match=r"broken|zip|archive|PK"):
        load_program(tmp_path / "broken.pt2")
    assert typing.get_type_hints is original


def test_the_linkers_library_is_made_once(compiled, tmp_path):
    zig.prepare(host(), tmp_path)
    assert not list(tmp_path.iterdir())
