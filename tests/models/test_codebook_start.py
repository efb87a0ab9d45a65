"""Starting from the codec's code vectors: the geometry of codes carries over, the loudness stays."""

import pytest
import torch
from torch import Tensor

LEVELS, SIZE, DIM = 3, 11, 32


def codebooks(width: int) -> Tensor:
    """Code vectors [K, V, C], far from the origin and unequally loud."""
    codes_KVC = torch.randn(LEVELS, SIZE, width, generator=torch.Generator().manual_seed(width))
    return codes_KVC * torch.tensor([1.0, 0.3, 5.0])[:, None, None] + 4


def rows(lm) -> Tensor:
    """Embeddings [K, V + 1, D]; row V is the absent one."""
    return lm.embedding.weight.detach().clone().view(LEVELS, SIZE + 1, DIM)


@pytest.mark.parametrize("width", [2, 8, DIM])
def test_distances_are_those_of_the_codes(make_lm, width):
    lm, codes_KVC = make_lm(LEVELS), codebooks(width)
    before_KVD = rows(lm)
    lm.start_from_codebooks(codes_KVC)
    after_KVD, heads_KVD = rows(lm), lm.heads_KVD.detach()
    for k in range(LEVELS):
        distances = torch.pdist(codes_KVC[k])
        for table_VD in (after_KVD[k, :-1], heads_KVD[k]):
            scale = torch.pdist(table_VD) / distances
            torch.testing.assert_close(scale, scale.mean().expand_as(scale), rtol=1e-3, atol=0)
        scale = torch.pdist(before_KVD[k, :-1]) / distances
        assert scale.std() > 0.05 * scale.mean(), "at random they are not"


@pytest.mark.parametrize("width", [2, DIM, 100])
def test_loudness_and_the_absent_rows_stay(make_lm, width):
    lm = make_lm(LEVELS)
    before_KVD, heads_KVD = rows(lm), lm.heads_KVD.detach().clone()
    others = {n: w.clone() for n, w in lm.state_dict().items() if n not in ("embedding.weight", "heads_KVD")}
    lm.start_from_codebooks(codebooks(width))
    after_KVD, after_heads_KVD = rows(lm), lm.heads_KVD.detach()
    assert torch.equal(after_KVD[:, -1], before_KVD[:, -1])
    for k in range(LEVELS):
        assert not torch.equal(after_KVD[k, :-1], before_KVD[k, :-1])
        assert float(after_KVD[k, :-1].std()) == pytest.approx(float(before_KVD[k, :-1].std()), rel=1e-3)
        assert float(after_heads_KVD[k].std()) == pytest.approx(float(heads_KVD[k].std()), rel=1e-3)
    assert all(torch.equal(lm.state_dict()[name], weight) for name, weight in others.items())


def test_every_table_has_its_own_rotation(make_lm):
    """Levels that share their codes, and embeddings and heads, must not read and predict along the same axes."""
    lm = make_lm(LEVELS)
    lm.start_from_codebooks(codebooks(8)[:1].expand(LEVELS, -1, -1))
    tables = [*rows(lm)[:, :-1], *lm.heads_KVD.detach()]
    for i, one in enumerate(tables):
        for other in tables[:i]:
            assert torch.cosine_similarity(one, other).abs().mean() < 0.6
