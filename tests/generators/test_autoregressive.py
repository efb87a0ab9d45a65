"""The training loss, the likelihood and the condition dropout of the autoregressive family."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from musicbench.data.crops import TrainingCrops
from musicbench.data.store import Clip
from musicbench.generators.objectives import pattern_nats
from musicbench.models.autoregressive.decode import decode
from musicbench.models.sampling import Sampling
from musicbench.plans.build import PATTERNS

FRAMES = 8


def chain_rule(module, batch) -> torch.Tensor:
    """log p(codes) [B, K] as decoding meets it: the sum over steps of the drawn tokens' log-probabilities."""
    total_BK = torch.zeros(batch.codes_BKT.shape[:2], dtype=torch.float64)

    def choose(logits_BnV, step):
        true_Bn = batch.codes_BKT[:, step.level_n, step.frame_n]
        nats_Bn = F.log_softmax(logits_BnV.double(), -1).gather(-1, true_Bn[..., None]).squeeze(-1)
        total_BK.index_add_(1, torch.as_tensor(step.level_n), nats_Bn)
        return true_Bn

    plan = module.tables.plan(batch.codes_BKT.shape[2])
    decode(module.lm, plan, batch.conditions, choose)
    return total_BK


def collect_logs(module) -> dict[str, float]:
    """What the module logs from now on; a metric as its value so far."""
    logged: dict[str, float] = {}

    def log(name, value, **_):
        logged[name] = float(value.compute() if hasattr(value, "compute") else value)

    module.log = log
    return logged


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("frames", [8, 13])
def test_log_prob_is_the_chain_rule_of_decoding(pattern, frames, make_module, make_batch):
    module, batch = make_module(pattern).eval(), make_batch([4, 1, 2], frames=frames)
    log_prob_BK = module.log_prob(batch.codes_BKT, batch.conditions)
    assert log_prob_BK.dtype == torch.float64
    torch.testing.assert_close(log_prob_BK, chain_rule(module, batch), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_loss_and_log_prob_mean_the_same_bits_per_frame(pattern, make_module, make_batch):
    module, batch = make_module(pattern, condition_dropout=0.0), make_batch([3, 5])
    logged = collect_logs(module)
    loss = float(module.training_step(batch, 0))
    module.validation_step(batch, 0)
    module.eval()
    log_prob_B = module.log_prob(batch.codes_BKT, batch.conditions).sum(1)
    _, levels, frames = batch.codes_BKT.shape
    bits = float(-log_prob_B.mean()) / (frames * math.log(2))
    assert loss == pytest.approx(bits * math.log(2) / levels, rel=1e-5)
    assert logged["train/bits_per_frame"] == pytest.approx(bits, rel=1e-5)
    assert logged["validation/bits_per_frame"] == pytest.approx(bits, rel=1e-5)


def test_every_token_is_in_the_loss(make_module, make_batch):
    """Also those of a pattern's tail, which MusicGen's own training leaves out."""
    module, batch = make_module("delay", condition_dropout=0.0), make_batch([2])
    logits_BKTV = module.lm(batch.codes_BKT, module.tables.tensors(FRAMES), batch.conditions)
    total = sum(
        -F.log_softmax(logits_BKTV[0, k, t], -1)[batch.codes_BKT[0, k, t]]
        for k in range(logits_BKTV.shape[1])
        for t in range(logits_BKTV.shape[2])
    )
    assert float(module.training_step(batch, 0)) == pytest.approx(float(total) / (3 * 8), rel=1e-5)


@pytest.mark.parametrize(("pattern", "lost"), [("delay", 2), ("partial_delay", 1), ("parallel", 0), ("flat", 0)])
def test_an_untrained_tail_is_left_out_of_the_loss_and_of_nothing_else(pattern, lost, make_module, make_batch):
    """The released way: each level's mean over the tokens before its tail, then the mean over levels."""
    plan = {"schedule": "sequential"}
    module = make_module(pattern, {**plan, "tail": "untrained"}, condition_dropout=0.0)
    usual, batch = make_module(pattern, plan, condition_dropout=0.0), make_batch([2, 3])
    logits_BKTV = module.lm(batch.codes_BKT, module.tables.tensors(FRAMES), batch.conditions)
    ends = [FRAMES - (k if pattern == "delay" else lost if k else 0) for k in range(3)]
    levels = [
        F.cross_entropy(logits_BKTV[:, k, :end].flatten(0, 1), batch.codes_BKT[:, k, :end].flatten())
        for k, end in enumerate(ends)
    ]
    assert ends[-1] == FRAMES - lost
    logged = collect_logs(module)
    loss = module.training_step(batch, 0)
    assert float(loss) == pytest.approx(float(sum(levels)) / 3, rel=1e-5)
    assert (float(loss) == pytest.approx(float(usual.training_step(batch, 0)), abs=1e-6)) == (lost == 0)
    module.validation_step(batch, 0)
    assert logged["validation/bits_per_frame"] == pytest.approx(
        float(-usual.eval().log_prob(batch.codes_BKT, batch.conditions).sum()) / (2 * FRAMES * math.log(2)), rel=1e-5
    ), "all tokens are counted in validation"


def test_the_hybrid_leaves_out_the_same_tail(make_module, make_masked, make_batch):
    plan = {"pattern": "delay", "schedule": "sequential", "tail": "untrained"}
    module = make_module(plan=plan, condition_dropout=0.0)
    hybrid = make_masked(True, condition_dropout=0.0, pattern=plan, autoregressive_share=1.0)
    module.lm.load_state_dict(_without_mode(hybrid.lm.state_dict()))
    assert float(hybrid.training_step(make_batch([2]), 0)) == pytest.approx(
        float(module.training_step(make_batch([2]), 0)), rel=1e-5
    )


def _without_mode(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**weights, "embedding.weight": weights["embedding.weight"][:-1]}


def test_a_clip_shorter_than_the_delay_trains_the_levels_that_are_left(make_module, make_batch):
    module, batch = make_module(plan={"tail": "untrained"}, condition_dropout=0.0), make_batch([2], frames=1)
    logits_BKTV = module.lm(batch.codes_BKT, module.tables.tensors(1), batch.conditions)
    first = F.cross_entropy(logits_BKTV[0, 0], batch.codes_BKT[0, 0])
    assert float(module.training_step(batch, 0)) == pytest.approx(float(first) / 3, rel=1e-5)


def test_validation_always_sees_the_captions(make_module, make_batch):
    module, batch = make_module(condition_dropout=1.0), make_batch([3, 5])
    logged = collect_logs(module)
    module.validation_step(batch, 0)
    module.training_step(batch, 0)
    assert logged["validation/bits_per_frame"] != pytest.approx(logged["train/bits_per_frame"], abs=1e-3)
    module.eval()
    told = -module.log_prob(batch.codes_BKT, batch.conditions).sum(1).mean() / (8 * math.log(2))
    assert logged["validation/bits_per_frame"] == pytest.approx(float(told), rel=1e-5)


class TestConditionDropout:
    def test_follows_seed_and_running_number_alone(self, make_module):
        module = make_module(condition_dropout=0.5, seed=3)
        numbers = torch.arange(100)
        dropped = module.dropped(numbers)
        torch.rand(17)  # another state of the global stream
        assert torch.equal(module.dropped(numbers), dropped)
        turned = torch.randperm(100)
        assert torch.equal(module.dropped(numbers[turned]), dropped[turned])
        assert torch.equal(torch.cat([module.dropped(part) for part in numbers.split(7)]), dropped)
        other = make_module(condition_dropout=0.5, seed=4)
        assert not torch.equal(other.dropped(numbers), dropped)

    def test_per_step_all_clips_of_all_processes_and_accumulated_batches_are_dropped_together(
        self, make_module, make_masked, monkeypatch
    ):
        together = {"condition_dropout": 0.5, "condition_dropout_per": "step"}
        for module in (make_module(**together), make_masked(**together), make_masked(True, **together)):
            by_step = []
            for step in range(400):
                monkeypatch.setattr(type(module), "global_step", step)
                of_ranks = [module.dropped(torch.arange(first, first + 3)) for first in (6 * step, 6 * step + 3)]
                assert len(set(torch.cat(of_ranks).tolist())) == 1
                by_step.append(bool(of_ranks[0][0]))
            assert sum(by_step) / 400 == pytest.approx(0.5, abs=4 * (0.25 / 400) ** 0.5)
        with pytest.raises(ValueError, match="condition_dropout_per must be step, or null; got 'batch'"):
            make_module(condition_dropout_per="batch")

    def test_conditions_are_dropped_apart_by_streams_of_their_names(self, make_module, make_batch):
        batch = make_batch([4] * 200)

        def kept(**shares) -> torch.Tensor:
            return make_module(condition_dropout=0.0, dropout_apart=shares).told(batch).conditions.text.mask_BL.any(1)

        assert kept().all()
        lacking = ~kept(text=0.5)
        assert 60 < lacking.sum() < 140
        assert torch.equal(~kept(melody=0.5, text=0.5), lacking), "another condition changes nothing"

    @pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
    def test_share(self, make_module, share):
        dropped = make_module(condition_dropout=share).dropped(torch.arange(4000))
        assert float(dropped.float().mean()) == pytest.approx(share, abs=4 * (share * (1 - share) / 4000) ** 0.5)

    @pytest.mark.parametrize("seed", [0, 7])
    def test_does_not_follow_the_phrasing(self, make_module, seed):
        """The data draws from (seed, running number) too; with the same stream, one phrasing would be lost."""
        clip = Clip("clip", "piece", "train", 0, 50, ("one", "two", "three", "four"), {}, {})
        crops = TrainingCrops(SimpleNamespace(split=lambda name: (clip,), segment_frames=1), frames=FRAMES, seed=seed)
        dropped = make_module(seed=seed).dropped(torch.arange(4000)).tolist()
        by_phrasing = {caption: [] for caption in clip.captions}
        for number, lost in enumerate(dropped):
            by_phrasing[crops[number].caption].append(lost)
        for caption, losses in by_phrasing.items():
            assert len(losses) > 800
            assert sum(losses) / len(losses) == pytest.approx(0.2, abs=0.05), caption

    def test_dropped_clips_are_trained_without_caption(self, make_module, make_batch):
        module, batch = make_module(condition_dropout=0.5), make_batch([4] * 12)
        dropped_B = module.dropped(batch.index_B)
        assert 0 < dropped_B.sum() < 12
        nats = pattern_nats(module.lm, module.tables, module.told(batch)).sum((1, 2))
        elsewhere = batch._replace(conditions=batch.conditions.each(lambda tensor: tensor.roll(1, 0)))
        change = (pattern_nats(module.lm, module.tables, module.told(elsewhere)).sum((1, 2)) - nats).abs()
        assert change[dropped_B].max() < 1e-4
        assert change[~dropped_B].min() > 1e-3


class TestLevelDropout:
    def test_upper_levels_are_neither_read_nor_learnt(self, make_module, make_batch):
        module, batch = make_module(level_dropout=1.0, condition_dropout=0.0), make_batch([3] * 6)
        known_BK = module.known_levels(batch.index_B)
        assert set(known_BK.sum(1).tolist()) == {1, 2}, "some level is always there, and never all"
        loss = float(module.training_step(batch, 0))
        codes_BKT = batch.codes_BKT.where(known_BK[:, :, None], (batch.codes_BKT + 1) % 7)
        assert float(module.training_step(batch._replace(codes_BKT=codes_BKT), 0)) == loss
        absent_BKT = batch.codes_BKT.where(known_BK[:, :, None], 7)
        logits_BKTV = module.lm(absent_BKT, module.tables.tensors(FRAMES), batch.conditions)
        nats = [
            F.cross_entropy(logits_BKTV[b, k], batch.codes_BKT[b, k])
            for b in range(6)
            for k in range(3)
            if known_BK[b, k]
        ]
        weights = [1 / int(known_BK[b].sum()) for b in range(6) for k in range(3) if known_BK[b, k]]
        wanted = sum(n * w for n, w in zip(nats, weights, strict=True)) / 6
        assert loss == pytest.approx(float(wanted), rel=1e-5)

    def test_share(self, make_module):
        known_BK = make_module(level_dropout=0.3).known_levels(torch.arange(3000))
        assert float((known_BK.sum(1) < 3).float().mean()) == pytest.approx(0.3, abs=0.04)
        assert make_module().known_levels(torch.arange(50)).all()


def test_training_lowers_the_loss_of_what_it_sees(make_module, make_batch):
    module, batch = make_module("stack_delay"), make_batch([3, 2, 4, 1])
    configured = module.settings.configure(module)
    optimiser, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss))
    assert losses[-1] < 0.9 * losses[0]
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_a_stream_and_a_prompt_give_what_is_generated(make_module, make_batch):
    module, batch = make_module("stack_delay").eval(), make_batch([3, 5])
    arguments = (batch.conditions, 9, [1, 2], Sampling(cfg=2.0, top_k=3))
    whole_BKT = module.generate(*arguments)
    assert torch.equal(torch.cat(list(module.stream(*arguments, every=2)), 2), whole_BKT)
    prompt_BKT = torch.cat([whole_BKT[:, :, :4], torch.full_like(whole_BKT[:, :, 4:], -1)], 2)
    assert torch.equal(module.generate(*arguments, prompt_BKT), whole_BKT)
    assert torch.equal(torch.cat(list(module.stream(*arguments, prompt_BKT)), 2), whole_BKT)


def test_generate_at_another_length(make_module, make_batch):
    module, batch = make_module("stack").eval(), make_batch([3, 2])
    codes = module.generate(batch.conditions, 5, [1, 2], Sampling(cfg=2.0, top_k=3))
    assert codes.shape == (2, 3, 5)
    greedy = Sampling(cfg=1.0, temperature=0.0)
    one, other = (module.generate(batch.conditions, 5, s, greedy) for s in ([1, 2], [3, 4]))
    assert torch.equal(one, other)


def test_hyperparameters_are_plain(make_module):
    """Else a checkpoint could not be loaded as weights only."""

    def plain(value) -> bool:
        if isinstance(value, dict):
            return type(value) is dict and all(isinstance(k, str) and plain(v) for k, v in value.items())
        return value is None or type(value) in (int, float, str, bool)

    assert plain(dict(make_module().hparams))


def test_settings_that_do_not_fit_are_refused(make_module):
    with pytest.raises(ValueError, match="unknown pattern"):
        make_module("dealy")
    with pytest.raises(ValueError, match="warmup_steps"):
        make_module(optimiser={"lr": 1.0, "total_steps": 3, "warmup_steps": 3})


def test_dropout_follows_the_number_of_the_first_clip(make_module, make_batch):
    """Ranks draw different masks, and a training that goes on draws what it would have drawn."""
    sizes = {"levels": 3, "codebook_size": 7, "text_dim": 5}
    module = make_module(model={**sizes, "dim": 16, "layers": 1, "heads": 2, "dropout": 0.5})
    module.condition_dropout = 0.0
    batch = make_batch([2, 3], first=10)
    loss = float(module.training_step(batch, 0))
    torch.rand(3)
    assert float(module.training_step(batch, 5)) == loss
    assert float(module.training_step(batch._replace(index_B=torch.tensor([12, 13])), 0)) != loss
    other = make_module(seed=1)
    other.lm, other.condition_dropout = module.lm, 0.0
    assert float(other.training_step(batch, 0)) != loss
