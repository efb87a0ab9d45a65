"""Checkpoints: no flipped bit becomes another number, which torch's own reader would allow."""

import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from musicbench import torch_files
from musicbench.errors import UserError
from tests.damage import exponent_bit, flip

WEIGHT = struct.pack("<f", 0.123456)
STATE = {"a": torch.tensor([0.123456, -2.0]), "b": torch.arange(5)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "some.ckpt"
    torch_files.save({"state": STATE, "step": 3}, path)
    return path


def assert_state(content):
    assert content.keys() == {"state", "step"} and content["step"] == 3
    assert content["state"].keys() == STATE.keys()
    for name, value in STATE.items():
        found = content["state"][name]
        assert found.dtype == value.dtype and torch.equal(found, value)


def test_what_was_saved_comes_back(saved):
    assert_state(torch_files.load(saved, "state", "step"))


def test_a_flipped_exponent_is_refused(saved):
    damaged = saved.with_name("exponent.ckpt")
    damaged.write_bytes(saved.read_bytes())
    flip(damaged, exponent_bit(damaged, WEIGHT))
    # Control: torch's reader takes it for a number.
    assert torch.load(damaged, weights_only=True)["state"]["a"][0] > 1e30
    with pytest.raises(UserError, match=r"is damaged: its content does not match its checksums; delete it and train"):
        torch_files.load(damaged)


@given(st.data())
def test_a_flipped_bit_never_changes_a_number_silently(saved, data):
    damaged = saved.with_name("flipped.ckpt")
    damaged.write_bytes(saved.read_bytes())
    flip(damaged, data.draw(st.integers(0, 8 * damaged.stat().st_size - 1)))
    try:
        content = torch_files.load(damaged, "state", "step")
    except UserError:
        return
    assert_state(content)


def test_a_file_without_checksums_is_refused(tmp_path):
    torch.save({"state": STATE}, tmp_path / "legacy.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="it is no archive with checksums"):
        torch_files.load(tmp_path / "legacy.ckpt")
