"""What a masked language model sees of a grid."""

import pytest
import torch

FRAMES, LEVELS, SIZE = 15, 3, 11


@pytest.fixture
def hidden(make_hybrid, make_captions):
    """``hidden(codes_BKT, level, context=2)`` -> the network's output."""

    def run(codes_BKT, level, context=2, position="rotary"):
        lm = make_hybrid(LEVELS, SIZE, position=position, context=context)
        conditions = make_captions([3] * len(codes_BKT))
        with torch.inference_mode():
            return lm.frame_hidden(codes_BKT, level, lm.frame_context(conditions, FRAMES))

    return run


@pytest.fixture
def codes():
    return torch.randint(0, SIZE, (1, LEVELS, FRAMES), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "both"])
@pytest.mark.parametrize(
    ("level", "context", "reach"), [(0, 2, FRAMES), (1, 2, 4), (2, 2, 4), (1, None, FRAMES), (2, 0, 0)]
)
def test_level_0_sees_all_and_others_their_neighbours(hidden, codes, level, context, reach, position):
    """Two layers reach twice as far as one."""
    changed = codes.clone()
    changed[:, :, 7] = (changed[:, :, 7] + 1) % SIZE
    moved_T = (hidden(codes, level, context, position) - hidden(changed, level, context, position)).abs().amax((0, 2))
    near_T = (torch.arange(FRAMES) - 7).abs() <= reach
    assert (moved_T[near_T] > 0).all()
    assert (moved_T[~near_T] == 0).all()


@pytest.mark.parametrize("predicted", range(LEVELS))
def test_levels_up_to_the_predicted_one_are_read(hidden, codes, predicted):
    whole = hidden(codes, predicted)
    for level in range(LEVELS):
        masked = codes.clone()
        masked[:, level, 7] = SIZE
        moved = float((hidden(masked, predicted) - whole)[0, 7].abs().max())
        assert moved > 1e-3 if level <= predicted else moved == 0


def test_frames_are_told_apart(hidden, codes):
    """The same tokens but for the first frame: the others differ in nothing but how far they are from it."""
    alike = codes[:, :, 1:2].repeat(1, 1, FRAMES)
    alike[:, :, 0] = codes[:, :, 0]
    for position in ("sinusoidal", "rotary", "both"):
        output = hidden(alike, 0, position=position)
        assert (output[0, 5] - output[0, 9]).abs().max() > 1e-4, position


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "both"])
def test_fully_masked_frames_need_codes_on_the_input(make_hybrid, make_captions, position, level):
    """Rotation turns queries and keys of equal content: all frames, which see each other, get one distribution."""
    lm, (conditions) = make_hybrid(LEVELS, SIZE, position=position, context=None), make_captions([3])
    context = lm.frame_context(conditions, FRAMES)
    masked_BKT = torch.full((1, LEVELS, FRAMES), SIZE)
    masked_BKT[:, :level] = 4
    with torch.inference_mode():
        logits_TV = (lm.frame_hidden(masked_BKT, level, context) @ lm.heads_KVD[level].T)[0]
    apart_TT = torch.cdist(logits_TV, logits_TV, p=torch.inf) + torch.eye(FRAMES)
    if position == "rotary":
        assert torch.cdist(logits_TV, logits_TV, p=torch.inf).max() < 1e-4
    else:
        assert apart_TT.min() > 1e-2


def test_higher_levels_are_read_if_they_are_shown(make_hybrid, make_captions, codes):
    lm, (conditions) = make_hybrid(LEVELS, SIZE), make_captions([3])
    context = lm.frame_context(conditions, FRAMES)

    def run(codes_BKT, shows_upper):
        with torch.inference_mode():
            return lm.frame_hidden(codes_BKT, 0, context, shows_upper)

    masked = codes.clone()
    masked[:, 1:] = SIZE
    assert torch.equal(run(masked, True), run(masked, False)), "what is masked shows nothing"
    assert torch.equal(run(codes, False), run(masked, False))
    for level in (1, 2):
        shown = masked.clone()
        shown[:, level, 7] = codes[:, level, 7]
        assert (run(shown, True) - run(masked, True))[0, 7].abs().max() > 1e-3


def test_no_context_of_a_negative_size(make_hybrid):
    with pytest.raises(ValueError, match="context"):
        make_hybrid(LEVELS, context=-1)
