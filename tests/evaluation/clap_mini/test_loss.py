"""InfoNCE against loops over single pairs."""

import math

import pytest
import torch

from musicbench.evaluation.clap_mini.loss import info_nce


def slow(logits: torch.Tensor, positive: torch.Tensor) -> float:
    """Both directions, one row at a time, in Python's own floats."""
    total = 0.0
    for scores, wanted in ((logits, positive), (logits.T, positive.T)):
        rows = []
        for row, own in zip(scores.tolist(), wanted.tolist(), strict=True):
            normaliser = math.log(sum(math.exp(value) for value in row))
            chosen = [normaliser - value for value, is_own in zip(row, own, strict=True) if is_own]
            rows.append(sum(chosen) / len(chosen))
        total += sum(rows) / len(rows)
    return total / 2


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_slow_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(7, 7, generator=generator, dtype=torch.float64)
    positive = torch.eye(7, dtype=torch.bool) | (torch.rand(7, 7, generator=generator) < 0.2)
    assert float(info_nce(logits, positive)) == pytest.approx(slow(logits, positive), rel=1e-12)


def test_without_duplicates_it_is_cross_entropy():
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(5)
    cross = torch.nn.functional.cross_entropy
    expected = (cross(logits, labels) + cross(logits.T, labels)) / 2
    torch.testing.assert_close(info_nce(logits, torch.eye(5, dtype=torch.bool)), expected)


def test_clips_of_one_caption_are_not_pushed_apart():
    """With equal logits for the positives nothing pulls them in different directions."""
    logits = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    positive = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    info_nce(logits, positive).backward()
    gradient = logits.grad
    assert gradient is not None
    torch.testing.assert_close(gradient[0, 0], gradient[0, 1])
    assert gradient[0, 0] < 0 < gradient[0, 2]
