"""Recorded passes of masked decoding against passes computed one by one; see ``test_graphed_steps``."""

import gc

import pytest
import torch

from musicbench.models import kernels
from musicbench.models.fast import lending
from musicbench.models.fast.graphed_frames import GraphedFrames
from musicbench.models.hybrid import HybridSampling, decode_hybrid
from musicbench.models.masked import decode as masked_decode
from musicbench.models.masked import lm as masked_lm
from musicbench.models.masked.decode import FramesNetwork, decode_masked
from musicbench.models.masked.sampling import MaskedSampling
from tests.helpers.recorder import Recorder

SAMPLING = MaskedSampling(iterations=(5, 1, 3), temperature=1.0)


@pytest.fixture
def recorded(monkeypatch):
    """Decoding by recorded passes."""
    recorders = []

    def capture(device):
        recorders.append(Recorder())
        return recorders[-1]

    monkeypatch.setattr(GraphedFrames, "capture", staticmethod(capture))
    monkeypatch.setattr(masked_decode, "_network", lambda device: GraphedFrames)
    with kernels.using("plain"):
        yield recorders


@pytest.mark.parametrize("frames", [7, 40])
@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "both"])
@pytest.mark.parametrize(
    "settings", [{}, {"cfg": 1.0, "cfg_final": 1.0}, {"spans": "stride1", "span_score": "product"}]
)
def test_same_codes_of_two_batches_one_after_the_other(
    settings, position, frames, make_hybrid, make_captions, recorded, monkeypatch
):
    """The second takes over the recordings of the first, which recorded the levels with more than one iteration."""
    lm = make_hybrid(3, position=position)
    sampling = MaskedSampling(iterations=(5, 1, 3), **settings)

    def batch(number: int) -> torch.Tensor:
        captions = make_captions([4 + number, 2], seed=number)
        return decode_masked(lm, captions, frames, [number, 7], sampling)

    found = [batch(0), batch(1)]
    (recorder,) = recorded
    assert (recorder.warmed, recorder.recorded, recorder.repeated) == (3, 3, 2 * 9 - 3)
    monkeypatch.setattr(masked_decode, "_network", lambda device: FramesNetwork)
    assert all(torch.equal(one, batch(number)) for number, one in enumerate(found))
    assert not torch.equal(*found)


def test_recordings_find_only_memory_that_lasts_as_long_as_they_do(make_hybrid, make_captions, recorded):
    """Also after the model has forgotten its tables for this length."""
    lm = make_hybrid(3)
    decode_masked(lm, make_captions([4, 2]), 40, [0, 1], SAMPLING)
    masked_lm._tables.cache_clear()
    gc.collect()
    (space,) = lending._idle[lm].values()
    attention = [vars(attend) for _, attend in space.tables]
    leaves = torch.utils._pytree.tree_leaves([lm.state_dict(), dict(lm.named_buffers()), vars(space), attention])
    lasting = {x.untyped_storage().data_ptr() for x in leaves if isinstance(x, torch.Tensor)}
    (recorder,) = recorded
    assert recorder.outside and recorder.outside <= lasting


def test_what_makes_recordings_useless_makes_new_ones(make_hybrid, make_captions, recorded):
    lm = make_hybrid(3)

    def run(frames=9, lengths=(4, 2), sampling=SAMPLING):
        decode_masked(lm, make_captions(list(lengths)), frames, list(range(len(lengths))), sampling)
        return len(recorded)

    assert run() == run() == run(lengths=(1, 16)) == run(sampling=MaskedSampling(iterations=(2, 2, 2), cfg=4.0)) == 1
    assert run(lengths=(1, 17)) == 2
    assert run(frames=8) == 3
    assert run(sampling=MaskedSampling(iterations=(2, 2, 2), cfg=1.0)) == 4
    lm.heads_KVD = torch.nn.Parameter(lm.heads_KVD.detach().clone())
    assert run() == 5
    assert run(sampling=MaskedSampling(iterations=(2, 2, 2), prompt_upper_levels="shown")) == 6


@pytest.mark.parametrize("upper", ["hidden", "shown"])
def test_a_prompts_upper_levels(upper, make_hybrid, make_captions, recorded, monkeypatch):
    lm, captions = make_hybrid(3), make_captions([4, 2])
    sampling = MaskedSampling(iterations=(5, 1, 3), prompt_upper_levels=upper)
    prompt = torch.randint(0, 11, (2, 3, 12), generator=torch.Generator().manual_seed(3))
    prompt[:, :, 5:] = -1
    found = decode_masked(lm, captions, 12, [1, 2], sampling, prompt)
    monkeypatch.setattr(masked_decode, "_network", lambda device: FramesNetwork)
    assert torch.equal(found, decode_masked(lm, captions, 12, [1, 2], sampling, prompt))


def test_a_hybrid_keeps_the_recordings_of_both_its_parts(make_hybrid, make_captions, recorded, monkeypatch):
    from musicbench import plans
    from musicbench.models.autoregressive import decode as decoding
    from musicbench.models.fast.graphs import GraphedSteps

    monkeypatch.setattr(GraphedSteps, "capture", staticmethod(GraphedFrames.capture))
    monkeypatch.setattr(decoding, "_network", lambda model, device: GraphedSteps)
    lm, plan, sampling = make_hybrid(3), plans.build("delay", 20, 3), HybridSampling(0.5, masked=SAMPLING)
    for _ in range(2):
        decode_hybrid(lm, plan, make_captions([4, 2]), 40, [0, 1], sampling)
    assert len(recorded) == 2 == len(lending._idle[lm])


def test_where_passes_are_recorded(monkeypatch):
    """On a GPU, but neither where plain operations are asked for nor under autocast, whose copies of weights move."""
    gpu = torch.device("cuda")
    with kernels.using("auto"):
        assert masked_decode._network(gpu) is GraphedFrames
        assert masked_decode._network(torch.device("cpu")) is FramesNetwork
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: kind == "cuda")
        assert masked_decode._network(gpu) is FramesNetwork
        monkeypatch.undo()
    with kernels.using("plain"):
        assert masked_decode._network(gpu) is FramesNetwork
