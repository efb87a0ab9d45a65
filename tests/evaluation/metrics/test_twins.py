"""The torchmetrics twins equal the functional forms, however the clips come."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchmetrics import MetricCollection

from musicbench.errors import UserError
from musicbench.evaluation.metrics.clap_score import clap_score
from musicbench.evaluation.metrics.distances import FrechetAudioDistance, FrechetCodecDistance, KernelAudioDistance
from musicbench.evaluation.metrics.frechet import frechet_distance, mean_and_covariance
from musicbench.evaluation.metrics.scores import ClapScore, KLDivergence

ALL = torch.arange(7)


def test_equals_the_functional_form(case):
    metric = case.make()
    case.feed(metric, ALL)
    value = metric.compute()
    assert value.dtype == torch.float64 and value.shape == ()
    assert value.item() == pytest.approx(case.functional(), rel=1e-10)


@given(
    batches=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), max_size=5),
    order=st.permutations(range(7)),
    cut=st.integers(1, 6),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_batches_nor_order_nor_clips_that_come_again_matter(case, batches, order, cut):
    """The clips in any order, in two batches or more, some of them several times, also within a batch."""
    metric = case.make()
    for ids in [*batches, order[:cut], order[cut:]]:
        case.feed(metric, torch.tensor(ids))
    assert metric.compute().item() == pytest.approx(case.functional(), rel=1e-10)


def test_control_a_clip_under_another_id_counts_again(case):
    """The tests above would see it if clips were counted by what they hold, or not at all."""
    metric = case.make()
    case.feed(metric, ALL)
    for side in metric.sides:
        metric.keep(side, [99], getattr(metric, f"{side}_rows")[0][None, :1] * 1.5)
    assert metric.compute().item() != pytest.approx(case.functional(), rel=1e-4)


def test_starts_anew_after_reset_and_travels(case):
    metric = case.make()
    case.feed(metric, torch.tensor([3, 3, 5]))
    metric.compute()
    metric.reset()
    with pytest.warns(UserWarning, match="before the ``update``"), pytest.raises(UserError, match="has seen no"):
        metric.compute()
    case.feed(metric, ALL[:4])
    metric = copy.deepcopy(pickle.loads(pickle.dumps(metric)))
    case.feed(metric, ALL[4:])
    assert metric.compute().item() == pytest.approx(case.functional(), rel=1e-10)


def test_brings_nothing_to_a_module_that_holds_it(case):
    """No parameters for the optimiser, nothing in the checkpoint, and half precision does not reach the states."""
    module = torch.nn.Module()
    module.metric = case.make()
    case.feed(module.metric, ALL[:3])
    module.half()
    case.feed(module.metric, ALL[3:])
    assert list(module.parameters()) == [] and module.state_dict() == {}
    assert module.metric.compute().item() == pytest.approx(case.functional(), rel=1e-10)


def test_forward_gives_the_batch_and_keeps_the_sum():
    text, audio = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1)).double()
    metric = ClapScore()
    first = metric(text[:4], audio[:4], ALL[:4])
    scores = clap_score(text.numpy(), audio.numpy())
    assert first.item() == pytest.approx(scores[:4].mean(), rel=1e-12)
    metric(text[2:], audio[2:], ALL[2:6])
    assert metric.compute().item() == pytest.approx(scores.mean(), rel=1e-12)


def test_a_collection_of_distances():
    x, y = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(1))
    distances = {"fad": FrechetAudioDistance(3), "codec": FrechetCodecDistance(3), "kad": KernelAudioDistance(3)}
    together = MetricCollection(distances)
    together.update(x, ALL[:4], reference=True)
    together.update(y, ALL[:4])
    values = together.compute()
    # Both are Frechet distances over all rows, of which one keeps the rows and the other their moments.
    assert values["codec"].item() == pytest.approx(values["fad"].item(), rel=1e-9)
    assert values["kad"].item() != pytest.approx(values["fad"].item(), rel=1e-3)


def test_clips_of_different_lengths_and_low_precision():
    generator = torch.Generator().manual_seed(2)
    clips = [torch.randn(1, windows, 3, generator=generator).bfloat16() for windows in (4, 9, 6)]
    mean_D, cov_DD = np.zeros(3), np.eye(3)
    metric = FrechetAudioDistance(3, (torch.from_numpy(mean_D), torch.from_numpy(cov_DD)))
    for number, clip in enumerate(clips):
        metric.update(clip, [number])
    rows = torch.cat([clip[0] for clip in clips]).double().numpy()
    expected = frechet_distance(*mean_and_covariance(rows), mean_D, cov_DD)
    assert metric.compute().item() == pytest.approx(expected, rel=1e-12)


def test_warns_when_singular():
    x = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(3))
    for metric, message in (
        (FrechetAudioDistance(8, (torch.zeros(8), torch.eye(8))), "FAD from 3 windows of 8"),
        (FrechetCodecDistance(8), "Frechet codec distance from 3 frames of 8"),
    ):
        metric.update(x, [0])
        if isinstance(metric, FrechetCodecDistance):
            metric.update(x, [0], reference=True)
        with pytest.warns(UserWarning, match=message):
            metric.compute()


def test_says_what_is_wrong():
    fad = FrechetAudioDistance(4)
    with pytest.raises(UserError, match=r"FrechetAudioDistance got values of shape \(2, 4\) with 2 ids"):
        fad.update(torch.zeros(2, 4), [0, 1])
    with pytest.raises(UserError, match="with 3 ids"):
        fad.update(torch.zeros(2, 5, 4), [0, 1, 2])
    with pytest.raises(UserError, match="4 numbers in each row"):
        fad.update(torch.zeros(2, 5, 3), [0, 1])
    fad.update(torch.zeros(2, 5, 4), [0, 1])
    with pytest.raises(UserError, match="has seen no reference"):
        fad.compute()
    with pytest.raises(UserError, match="fixed reference"):
        FrechetAudioDistance(4, (torch.zeros(4), torch.eye(4))).update(torch.zeros(2, 5, 4), [0, 1], reference=True)
    with pytest.raises(UserError, match="with 1 ids"):
        KLDivergence().update(torch.ones(2, 3) / 3, torch.ones(2, 3) / 3, [0])
    codec = FrechetCodecDistance(2)
    for reference in (False, True):
        codec.update(torch.ones(1, 1, 2), [0], reference)
    with pytest.warns(UserWarning), pytest.raises(UserError, match="two windows or frames"):
        codec.compute()
