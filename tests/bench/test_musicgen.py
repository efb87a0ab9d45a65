"""The peer is called as often, and with as many rows, as our own model for the same plan."""

import pytest
import torch

from musicbench.bench.musicgen import Musicgen
from musicbench.bench.shapes import NETWORKS, OF_RECORD, BenchShape, captions, shape_of
from musicbench.errors import UserError
from musicbench.models import kernels
from musicbench.models.autoregressive.decode import sample
from musicbench.models.hybrid import HybridSampling
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling
from musicbench.plans import build
from musicbench.runs.compose import compose, instantiated

CPU = torch.device("cpu")
SMALL = BenchShape("small", 16, 2, 2, 4, 32, "sinusoidal", 6, 50.0)


@pytest.mark.parametrize(("batch", "frames"), [(1, 6), (3, 9)])
def test_both_call_their_network_alike(batch, frames):
    peer = Musicgen(SMALL, CPU)
    codes = peer.generate(batch, frames)
    assert codes.shape == (batch, 4, frames) and codes.min() >= 0 and codes.max() < 32
    ours = SMALL.network(NETWORKS["pattern"], CPU)
    rows = []
    ours.transformer.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
    with kernels.using("plain"):
        sample(ours, build("delay", frames), captions(batch, CPU), list(range(batch)), Sampling())
    assert peer.calls == rows == [2 * batch] * (frames + 3)


def test_a_peer_that_makes_other_calls_is_no_peer(monkeypatch):
    peer = Musicgen(SMALL, CPU)
    monkeypatch.setattr(peer.model, "generate", lambda **given: torch.zeros(1, 4, 6, dtype=torch.long))
    with pytest.raises(RuntimeError, match=r"made 0 calls .* delay needs 9 of 2"):
        peer.generate(1, 6)


def test_a_static_cache_gives_the_same_codes(monkeypatch):
    """As it is called for the compiler, but for the compiler itself, which takes a minute."""
    monkeypatch.setattr(torch, "compile", lambda forward: forward)
    drawn = []
    for compiled in (False, True):
        peer = Musicgen(SMALL, CPU, compiled=compiled)
        torch.manual_seed(1)
        drawn += [peer.generate(2, 9), peer.generate(2, 9)]
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1])


def test_the_peer_has_as_many_weights():
    """But for the projection of captions, the null condition, the biases of norms, and the absent embeddings."""
    peer = sum(p.numel() for p in Musicgen(SMALL, CPU).model.parameters())
    ours = SMALL.network(NETWORKS["pattern"], CPU)
    own = sum(p.numel() for p in ours.parameters()) - sum(p.numel() for p in ours.conditioner.parameters())
    assert peer == own


def test_its_training_loss_has_gradients():
    peer = Musicgen(SMALL, CPU)
    peer.loss(torch.randint(32, (2, 4, 6))).backward()
    assert all(p.grad is not None for p in peer.model.parameters() if p.requires_grad)


def test_shapes():
    assert shape_of("bench") is OF_RECORD
    tiny, config = shape_of("tiny"), compose("train", ["model=tiny"]).model
    assert (tiny.dim, tiny.layers, tiny.heads, tiny.position) == (config.dim, config.layers, config.heads, "rotary")
    with pytest.raises(UserError, match="unknown shape 'hug'"):
        shape_of("hug")


def test_the_settings_of_sampling_are_those_of_conf():
    for name, usual in (("musicgen", Sampling()), ("hybrid_10s", HybridSampling()), ("magnet_10s", MaskedSampling())):
        decode = dict(compose("train", [f"decode={name}"]).decode)
        decode.pop("rescorer", None)
        if name == "hybrid_10s":
            decode["masked"] = {key: value for key, value in decode["masked"].items() if key != "rescorer"}
        assert instantiated("decode", decode) == usual


def test_a_clip_has_the_same_caption_in_any_batch():
    one, many = captions(1, CPU).text.states_BLE, captions(3, CPU).text.states_BLE
    assert torch.equal(one[0], many[0]) and not torch.equal(many[0], many[1])
