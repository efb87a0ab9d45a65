"""Masked decoding against a slow loop written from its definition, and its invariants."""

import itertools

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from musicbench.models import kernels
from musicbench.models.conditions import Conditions
from musicbench.models.masked import decode as masked_decode
from musicbench.models.masked.decode import _draw_level, decode_masked
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.masked.spans import Units
from tests.models.masked_reference import slow

LEVELS, SIZE = 3, 11
LENGTHS = [4, 1, 7]
ITERATIONS = (5, 1, 3)


@pytest.fixture
def lm(make_hybrid):
    return make_hybrid(LEVELS, SIZE)


@pytest.fixture
def captions(make_captions):
    return make_captions(LENGTHS)


def alone(captions, i):
    return captions.each(lambda tensor: tensor[i : i + 1, : LENGTHS[i]])


SETTINGS = [
    {},
    {"spans": "stride1", "span_score": "product"},
    {"span_score": "product", "cfg": 1.0, "cfg_final": 1.0},
    {"spans": "stride1", "span_score": "product", "span": 1},
    {"span": 10, "top_k": 4, "top_p": 1.0},
    {"anneal": "constant", "temperature": 1.0, "cfg": 2.0, "cfg_final": 3.0},
    {"anneal": "linear_from_start", "temperature": 1.5},
    {"prompt_upper_levels": "shown", "cfg": 2.0},
    {"temperature": 0.0},
    {"remasking": "released"},
]


def any_tokens(frames: int) -> torch.Tensor:
    """In-painting: given tokens anywhere, other ones at every level and in every clip."""
    random = torch.Generator().manual_seed(frames)
    codes = torch.randint(0, SIZE, (len(LENGTHS), LEVELS, frames), generator=random)
    return codes.masked_fill(torch.rand(codes.shape, generator=random) < 0.6, -1)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("frames", [1, 2, 7, 12])
@pytest.mark.parametrize("prompted", [False, True])
def test_equals_the_slow_loop(lm, captions, settings, frames, prompted):
    """Also with T no multiple of the span, a single iteration, and captions of unequal length in one batch."""
    sampling = MaskedSampling(iterations=ITERATIONS, **settings)
    prompt = any_tokens(frames) if prompted else None
    drawn = decode_masked(lm, captions, frames, [11, 22, 33], sampling, prompt)
    with torch.inference_mode():
        for i, seed in enumerate([11, 22, 33]):
            wanted = slow(lm, alone(captions, i), frames, seed, sampling, None if prompt is None else prompt[i])
            assert torch.equal(drawn[i], wanted)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_token_is_drawn_and_given_ones_are_kept(lm, captions, settings):
    prompt = any_tokens(13)
    prompt[0] = prompt[0].clamp_min(0)  # a clip with nothing to draw
    drawn = decode_masked(lm, captions, 13, [1, 2, 3], MaskedSampling(iterations=ITERATIONS, **settings), prompt)
    assert drawn.min() >= 0
    assert drawn.max() < SIZE, "no mask is left"
    assert torch.equal(drawn[prompt >= 0], prompt[prompt >= 0])


@pytest.mark.parametrize(("spans", "score"), [("nonoverlap", "max"), ("stride1", "product")])
def test_what_is_fixed_is_never_masked_again(lm, captions, spans, score, monkeypatch):
    seen: list[tuple[int, torch.Tensor]] = []
    original = masked_decode.FramesNetwork.logits

    def spy(self, codes_BKT, level, *rest):
        seen.append((level, codes_BKT[:, level] == SIZE))
        assert (codes_BKT[:, :level] < SIZE).all(), "lower levels are complete"
        return original(self, codes_BKT, level, *rest)

    monkeypatch.setattr(masked_decode.FramesNetwork, "logits", spy)
    sampling = MaskedSampling(iterations=(8, 4, 2), spans=spans, span_score=score)
    decode_masked(lm, captions, 14, [1, 2, 3], sampling)
    assert [level for level, _ in seen] == 3 * ([0] * 8 + [1] * 4 + [2] * 2), "clip by clip"
    for (level, before), (later, after) in itertools.pairwise(seen):
        if level == later:
            assert not (after & ~before).any()
            assert (after.sum(1) <= before.sum(1)).all()
        else:
            assert after.all(), "a level begins with everything masked"


@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "both"])
def test_a_clip_follows_its_seed_alone(make_hybrid, captions, position):
    """Rotary positions make all frames alike as long as all are masked: units tie."""
    lm = make_hybrid(LEVELS, SIZE, position=position)
    sampling = MaskedSampling(iterations=ITERATIONS)
    together = decode_masked(lm, captions, 12, [11, 22, 33], sampling)
    for i, seed in enumerate([11, 22, 33]):
        assert torch.equal(decode_masked(lm, alone(captions, i), 12, [seed], sampling)[0], together[i])
    assert together.max() < SIZE
    assert not torch.equal(decode_masked(lm, captions, 12, [12, 22, 33], sampling)[0], together[0])


@pytest.mark.parametrize("settings", [{}, {"cfg": 1.0, "cfg_final": 1.0}], ids=["guided", "unguided"])
def test_a_clips_numbers_are_the_same_in_any_batch(lm, captions, settings, monkeypatch):
    """To the last bit, on a CPU: neighbours and the padding that they bring change nothing."""
    seen: list[torch.Tensor] = []
    original = masked_decode.FramesNetwork.logits

    def spy(self, *arguments):
        seen.append(original(self, *arguments))
        return seen[-1]

    monkeypatch.setattr(masked_decode.FramesNetwork, "logits", spy)
    sampling = MaskedSampling(iterations=ITERATIONS, **settings)
    decode_masked(lm, captions, 70, [11, 22, 33], sampling)
    together, seen = seen, []
    for i, seed in enumerate([11, 22, 33]):
        decode_masked(lm, alone(captions, i), 70, [seed], sampling)
    assert len(seen) == len(together)
    assert all(torch.equal(one, other) for one, other in zip(seen, together, strict=True))


@pytest.mark.parametrize("upper", ["hidden", "shown"])
def test_upper_levels_of_a_prompt(lm, captions, upper):
    """Hidden, as in training: a level follows from given tokens of that level and those below alone."""
    sampling = MaskedSampling(iterations=ITERATIONS, prompt_upper_levels=upper)
    prompt = torch.full((3, LEVELS, 12), -1)
    prompt[:, :, ::2] = 4
    changed = prompt.clone()
    changed[:, 2, ::2] = torch.tensor([5, 0, 8, 2, 9, 1])
    drawn = [decode_masked(lm, captions, 12, [1, 2, 3], sampling, p) for p in (prompt, changed)]
    for level in range(2):
        assert torch.equal(drawn[0][:, level], drawn[1][:, level]) == (upper == "hidden")
    assert not torch.equal(drawn[0][:, 2, 1::2], drawn[1][:, 2, 1::2])


def test_without_a_prompt_there_is_nothing_to_show(lm, captions):
    drawn = [
        decode_masked(lm, captions, 12, [1, 2, 3], MaskedSampling(iterations=ITERATIONS, prompt_upper_levels=upper))
        for upper in ("hidden", "shown")
    ]
    assert torch.equal(*drawn)


def test_without_a_caption(lm, captions):
    """A caption without tokens is the null condition, whatever its padding holds."""
    sampling = MaskedSampling(iterations=ITERATIONS, cfg=1.0, cfg_final=1.0)
    without = captions.without(torch.tensor([False, True, False]))
    turned = Conditions.of_text(without.text.states_BLE.roll(1, 0), without.text.mask_BL)
    drawn = decode_masked(lm, without, 9, [1, 2, 3], sampling)
    other = decode_masked(lm, turned, 9, [1, 2, 3], sampling)
    assert torch.equal(drawn[1], other[1])
    lone = decode_masked(lm, captions[1:2].without(torch.tensor([True])), 9, [2], sampling)
    assert torch.equal(lone[0], drawn[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": (5, 5)}, "iterations must be given for 3 levels"),
        ({"rescore": 0.5}, "needs a rescorer"),
    ],
)
def test_settings_that_do_not_fit_the_model(lm, captions, change, message):
    with pytest.raises(ValueError, match=message):
        decode_masked(lm, captions, 5, [1, 2, 3], MaskedSampling(**{"iterations": ITERATIONS, **change}))


def test_prompts_that_do_not_fit(lm, captions):
    sampling = MaskedSampling(iterations=ITERATIONS)
    with pytest.raises(ValueError, match="a prompt must be"):
        decode_masked(lm, captions, 5, [1, 2, 3], sampling, torch.zeros(3, LEVELS, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="codes must lie in"):
        decode_masked(lm, captions, 5, [1, 2, 3], sampling, torch.full((3, LEVELS, 5), SIZE))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_no_iteration_waits_for_the_device(lm, captions, settings):
    """Tensors without values: whatever asked for one, as a copy to the host does, would fail."""
    sampling = MaskedSampling(iterations=ITERATIONS, **settings)
    open_BT = torch.ones(3, 12, dtype=torch.bool)
    units = Units(open_BT, sampling)
    network = masked_decode.FramesNetwork(lm, captions, 12, sampling)
    decode_masked(lm, captions, 12, [1, 2, 3], sampling)  # position codes are kept, and must have values
    codes_BKT = torch.full((3, LEVELS, 12), SIZE)
    uniform_IBT = torch.rand(ITERATIONS[0], 3, 12)
    # Compiled draws are of the CPU only, where nothing is waited for.
    with kernels.using("plain"), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        units.counts_B = mode.from_tensor(units.counts_B)
        inputs = [mode.from_tensor(x) for x in (codes_BKT, open_BT)]
        _draw_level(network, *inputs, 0, units, sampling, mode.from_tensor(uniform_IBT), None)
        with pytest.raises(DataDependentOutputException):
            int(inputs[0][0, 0, 0])
