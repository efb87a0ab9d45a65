"""Position codes, token embeddings and the caption's way into the model, against formulas."""

import numpy as np
import pytest
import torch

from musicbench import plans
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.plan_tensors import reads_or_absent
from musicbench.models.conditioning import TextConditioner
from musicbench.models.conditions import States
from musicbench.models.positions import position_tables, rotated, sinusoidal
from musicbench.models.transformer import MaskedAttention, Transformer


def formula(positions: np.ndarray, dim: int) -> np.ndarray:
    """[cos | sin] of p / 10000^(i / (half - 1)) in double precision."""
    half = dim // 2
    code = np.empty((len(positions), dim))
    for i in range(half):
        phase = positions / 10000 ** (i / max(half - 1, 1))
        code[:, i], code[:, half + i] = np.cos(phase), np.sin(phase)
    return code


@pytest.mark.parametrize("dim", [2, 4, 64, 1024])
def test_sinusoidal_formula(dim):
    positions = np.array([0, 1, 2, 49, 503, 1503, 6000])
    code = sinusoidal(torch.from_numpy(positions), dim)
    assert code.dtype == torch.float32
    np.testing.assert_allclose(code.numpy(), formula(positions, dim), atol=6e-4)
    assert code[0].tolist() == [1.0] * (dim // 2) + [0.0] * (dim // 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_codes_stay_exact_under_half_precision(dtype):
    """Computed in half precision they would be off by 0.5 (fp16) and 1.5 (bf16) at frame 1000."""
    plan = plans.build("delay", 3000, 4)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        code_PD = position_tables(plan, "sinusoidal", 64, 2).code_PD
        lm = PatternLM(4, 5, 3, dim=64, layers=1, heads=2)
        rounded_PD = lm.tensors(plan).to(dtype).code_PD
    finally:
        torch.set_default_dtype(before)
    wanted = formula(plan.step, 64)
    assert code_PD.dtype == torch.float32
    assert np.abs(code_PD.numpy() - wanted).max() < 5e-4
    assert np.abs(rounded_PD.float().numpy() - wanted).max() < 5e-3


@pytest.mark.parametrize("dim", [32, 36])
def test_frame_codes_are_two_halves_shifted_by_one(dim):
    plan = plans.build("stack_delay", 9, 3, "block_2")
    code_PD = position_tables(plan, "sinusoidal", dim, 2).code_PD.numpy()
    half = dim // 2
    np.testing.assert_allclose(code_PD[:, :half], formula(plan.frame_in + 1, half), atol=1e-5)
    np.testing.assert_allclose(code_PD[:, half:], formula(plan.frame_out + 1, dim - half), atol=1e-5)


@pytest.mark.parametrize("pattern", ["parallel", "delay", "flat", "stack", "stack_delay"])
@pytest.mark.parametrize("positional", ["step", "frame"])
def test_positions_can_be_told_apart(pattern, positional):
    """By code and levels read together: else two positions of equal tokens would be one."""
    plan = plans.build(pattern, 40, 4, "block_4", positional=positional)
    seen = {
        (tuple(np.round(code, 5)), tuple(reads))
        for code, reads in zip(position_tables(plan, "sinusoidal", 64, 2).code_PD.numpy(), plan.reads >= 0, strict=True)
    }
    assert len(seen) == plan.positions


def test_reads_or_absent():
    plan = plans.build("delay", 5, 3)
    reads = reads_or_absent(plan).numpy()
    assert reads.max() == 5
    np.testing.assert_array_equal(reads == 5, plan.reads == -1)
    np.testing.assert_array_equal(reads[reads < 5], plan.reads[plan.reads >= 0])


def test_embedding_is_the_sum_of_the_levels_with_absent_ones():
    torch.manual_seed(0)
    lm = PatternLM(3, 5, 4, dim=16, layers=1, heads=2)
    ids_BQK = torch.tensor([[[0, 4, 5], [5, 5, 5]], [[3, 2, 1], [5, 0, 0]]])
    code_QD = torch.randn(2, 16)
    table_KVD = lm.embedding.weight.detach().view(3, 6, 16)
    summed = lm.embed(ids_BQK, code_QD).detach()
    for b in range(2):
        for q in range(2):
            wanted = code_QD[q] + sum(table_KVD[k, ids_BQK[b, q, k]] for k in range(3))
            torch.testing.assert_close(summed[b, q], wanted)
    absent = table_KVD[:, 5]
    assert (absent.norm(dim=1) > 0.1).all(), "absent is an embedding of its own, not zero"


def test_an_undrawn_token_cannot_be_read():
    from musicbench.models.autoregressive.decode import UNDRAWN

    lm = PatternLM(2, 5, 4, dim=16, layers=1, heads=2)
    with pytest.raises((IndexError, RuntimeError)):
        lm.embed(torch.tensor([[[0, UNDRAWN]]]), torch.zeros(1, 16))


class TestTextConditioner:
    @pytest.fixture
    def conditioner(self):
        torch.manual_seed(1)
        return TextConditioner(4, 8)

    def test_a_dropped_clip_does_not_depend_on_its_caption(self, conditioner):
        states_BLE = torch.randn(3, 6, 4)
        mask_BL = torch.tensor([[1] * 6, [1] * 2 + [0] * 4, [1] * 4 + [0] * 2], dtype=torch.bool)
        absent_BL = mask_BL & torch.tensor([False, False, True])[:, None]
        text_BLD, mask_B11L = conditioner(States(states_BLE, absent_BL))
        assert torch.equal(text_BLD[0], text_BLD[1])
        assert torch.equal(text_BLD[0, 0], conditioner.null_D)
        assert mask_B11L.shape == (3, 1, 1, 6)
        assert mask_B11L[0].sum() == mask_B11L[1].sum() == 1
        assert torch.equal(mask_B11L[2, 0, 0], mask_BL[2])
        torch.testing.assert_close(text_BLD[2], conditioner.project(states_BLE[2]))

    def test_through_the_whole_model(self, make_lm, make_captions, full_logits):
        lm, plan = make_lm(2), plans.build("delay", 6, 2)
        codes_BKT = torch.randint(0, 11, (1, 2, 6))
        short, long = make_captions([1], seed=1), make_captions([7], seed=2)
        null_1, null_7 = (full_logits(lm, plan, codes_BKT, c, dropped=True) for c in (short, long))
        torch.testing.assert_close(null_1, null_7, atol=1e-5, rtol=0)
        told = full_logits(lm, plan, codes_BKT, long)
        assert (told - null_7).abs().max() > 0.02

    def test_only_dropped_clips_train_the_null_token(self, conditioner):
        states_BLE, mask_BL = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
        conditioner(States(states_BLE, mask_BL))[0].sum().backward()
        assert conditioner.null_D.grad.abs().max() == 0
        mask_BL[0] = False
        conditioner(States(states_BLE, mask_BL))[0].sum().backward()
        assert conditioner.null_D.grad.abs().min() > 0


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of heads"):
        Transformer(dim=10, layers=1, heads=4)
    with pytest.raises(ValueError, match="the plan has 3 levels, the model 2"):
        PatternLM(2, 5, 4, dim=16, layers=1, heads=2).tensors(plans.build("delay", 4, 3))


@pytest.mark.parametrize("dim", [6, 9])
@pytest.mark.parametrize("code", ["sinusoidal", "rotary", "both"])
def test_a_width_that_position_codes_cannot_fill_is_refused(dim, code):
    lm = PatternLM(2, 5, 4, dim=dim, layers=1, heads=1, position=code)
    with pytest.raises(ValueError, match="multiple of 4"):
        lm.tensors(plans.build("delay", 4, 2))


class TestRotary:
    """Against the formula in complex numbers: pair i of a vector at position p is multiplied by exp(j p w_i)."""

    @staticmethod
    def formula(x_PD: torch.Tensor, positions: np.ndarray) -> np.ndarray:
        half = x_PD.shape[1] // 2
        pairs = x_PD[:, :half].double().numpy() + 1j * x_PD[:, half:].double().numpy()
        turned = pairs * np.exp(1j * np.outer(positions, 10000.0 ** -(np.arange(half) / half)))
        return np.concatenate([turned.real, turned.imag], 1)

    @staticmethod
    def turned(x_PD: torch.Tensor, turn_P2F: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys as the attention behind the rotation gets them."""
        seen = {}

        def attend(layer, q_BHQD, k_BHQD, v_BHQD):
            seen.update(q=q_BHQD[0, 0], k=k_BHQD[0, 0], v=v_BHQD[0, 0])
            return v_BHQD

        rotated(attend, turn_P2F)(0, *[x_PD[None, None]] * 3)
        assert torch.equal(seen["v"], x_PD)
        return seen["q"], seen["k"]

    @pytest.mark.parametrize("pattern", ["delay", "stack_delay"])
    def test_steps(self, pattern):
        plan = plans.build(pattern, 700, 4)
        x_PD = torch.randn(plan.positions, 12)
        for turned in self.turned(x_PD, position_tables(plan, "rotary", 36, 3).turn_P2F):
            np.testing.assert_allclose(turned.numpy(), self.formula(x_PD, plan.step), atol=2e-3)

    def test_frames_share_the_pairs(self):
        plan = plans.build("stack_delay", 9, 3, "block_2")
        turn_P2F = position_tables(plan, "rotary", 16, 2).turn_P2F
        angle_PF = torch.atan2(turn_P2F[:, 1], turn_P2F[:, 0]).numpy()
        rates = np.array([1.0, 0.01])
        wanted = np.concatenate([np.outer(f + 1, rates) for f in (plan.frame_in, plan.frame_out)], 1)
        np.testing.assert_allclose(np.exp(1j * angle_PF), np.exp(1j * wanted), atol=1e-4)

    def test_scores_follow_distances(self):
        """The same content, moved along the sequence, is attended to as before."""
        turn_P2F = position_tables(plans.build("delay", 40, 1), "rotary", 16, 2).turn_P2F
        q, k, v = (torch.randn(1, 2, 10, 8) for _ in range(3))
        attend = MaskedAttention(None)
        here, there = (rotated(attend, turn_P2F[first : first + 10])(0, q, k, v) for first in (0, 25))
        torch.testing.assert_close(here, there, atol=1e-5, rtol=0)
        assert (here - attend(0, q, k, v)).abs().max() > 0.05

    def test_half_precision_turns_by_exact_angles(self):
        plan = plans.build("delay", 3000, 4)
        x_PD = torch.randn(plan.positions, 16)
        turned, _ = self.turned(x_PD.bfloat16(), position_tables(plan, "rotary", 16, 1).turn_P2F)
        assert turned.dtype == torch.bfloat16
        assert np.abs(turned.float().numpy() - self.formula(x_PD, plan.step)).max() < 0.05


def test_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="unknown position code 'learned'; choose one of sinusoidal, rotary, both"):
        PatternLM(2, 5, 4, dim=16, layers=1, heads=2, position="learned").tensors(plans.build("delay", 4, 2))


@pytest.mark.parametrize("pattern", ["delay", "stack_delay"])
def test_every_parameter_gets_a_gradient_at_every_step(pattern, make_lm, make_captions):
    """Else distributed training would wait for a gradient that never comes."""
    lm, plan = make_lm(3).train(), plans.build(pattern, 5, 3)
    codes_BKT = torch.randint(0, 11, (2, 3, 5))
    for dropped in (False, True):
        lm.zero_grad()
        lm(codes_BKT, lm.tensors(plan), make_captions([3, 2]).without(torch.tensor([dropped] * 2))).logsumexp(
            -1
        ).sum().backward()
        assert [name for name, p in lm.named_parameters() if p.grad is None] == []
