"""Starting weights of the released models against their formula."""

import pytest
import torch

from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.hybrid_lm import HybridLM

SIZES = {"levels": 2, "codebook_size": 300, "text_dim": 24, "dim": 64, "layers": 3, "heads": 2}


def require_cut_normal(weight: torch.Tensor, std: float) -> None:
    """A normal distribution of this deviation, cut at three: 0.9866 of it is left."""
    weight = weight.detach().flatten() / std
    assert weight.abs().max() <= 3 + 1e-4
    assert float(weight.std()) == pytest.approx(0.9866, abs=4 * 0.7 / len(weight) ** 0.5)
    assert float(weight.mean()) == pytest.approx(0, abs=4 / len(weight) ** 0.5)
    assert (weight.abs() > 2).float().mean() > 0.02, "no uniform distribution"


def require_uniform(weight: torch.Tensor, bound: float) -> None:
    weight = weight.detach().flatten() / bound
    assert weight.abs().max() <= 1
    assert float(weight.std()) == pytest.approx(3**-0.5, abs=2 / len(weight) ** 0.5)
    assert (weight.abs() > 0.9).float().mean() == pytest.approx(0.1, abs=2 / len(weight) ** 0.5)


def test_released_weights():
    torch.manual_seed(3)
    lm = HybridLM(**SIZES, initialisation="musicgen")
    dim = SIZES["dim"]
    for level in range(2):
        require_cut_normal(lm.embedding.weight[level * 301 : (level + 1) * 301], dim**-0.5)
        require_cut_normal(lm.heads_KVD[level], dim**-0.5)
    absent_KD = lm.embedding.weight[[300, 601]]
    assert absent_KD.norm(dim=1).min() > 0.5, "absent tokens are as loud as all others"
    assert lm.embedding.weight[602:].abs().max() == 0, "the released models have no modes"
    for depth, block in enumerate(lm.transformer.blocks, 1):
        for name in ("qkv", "cross_q", "cross_kv"):
            require_uniform(getattr(block, name).weight, dim**-0.5)
        for name in ("self_out", "cross_out", "ffn_in"):
            require_cut_normal(getattr(block, name).weight, (dim * 2 * depth) ** -0.5)
        require_cut_normal(block.ffn_out.weight, (4 * dim * 2 * depth) ** -0.5)
        for norm in (block.norm_self, block.norm_cross, block.norm_ffn):
            assert norm.weight.min() == norm.weight.max() == 1
            assert norm.bias.abs().max() == 0
    require_uniform(lm.conditioner.project.weight, SIZES["text_dim"] ** -0.5)


def test_our_own_way_differs_and_is_the_default():
    torch.manual_seed(3)
    ours = PatternLM(**SIZES)
    torch.manual_seed(3)
    released = PatternLM(**SIZES, initialisation="musicgen")
    same = {name for name, weight in ours.named_parameters() if torch.equal(weight, released.get_parameter(name))}
    assert all(name.startswith("conditioner.") or "norm" in name for name in same)
    with pytest.raises(ValueError, match="initialisation must be musicgen, or null; got 'gaussian'"):
        PatternLM(**SIZES, initialisation="gaussian")
