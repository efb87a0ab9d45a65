import dataclasses
from pathlib import Path

import pytest
import torch
from encodec.quantization.core_vq import ResidualVectorQuantization
from hydra.utils import instantiate
from omegaconf import OmegaConf

from musicbench.codecs.residual import nearest
from musicbench.codecs.training.kmeans import kmeans
from musicbench.codecs.training.quantizer import (
    RevivingCodebook,
    build_quantizer,
    fit_codebooks,
    quantize,
    straight_through,
)

SHIPPED = instantiate(OmegaConf.load(Path(__file__).parents[3] / "conf/codec_training/mini.yaml"))
SMALL = dataclasses.replace(SHIPPED.shape, dimension=6, codebook_size=16, levels=3)


def small_quantizer(training: bool) -> list[RevivingCodebook]:
    return [book.train(training) for book in build_quantizer(SMALL, 0.99, 0.05, torch.Generator().manual_seed(0))]


def test_kmeans_ends_where_each_centroid_is_the_mean_of_its_points() -> None:
    points_ND = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    found_CD = kmeans(points_ND, 5, 100, torch.Generator().manual_seed(1))
    nearest_N = torch.cdist(points_ND, found_CD).argmin(1)
    means_CD = torch.stack([points_ND[nearest_N == c].mean(0) for c in range(5)])
    torch.testing.assert_close(found_CD, means_CD, atol=1e-5, rtol=1e-4)


def test_kmeans_leaves_no_centroid_empty_on_distinct_points() -> None:
    # 8 distinct points, most of them drawn many times: a first choice of centroids hits some twice
    points_ND = torch.cat([torch.zeros(90, 1), torch.arange(1.0, 9.0)[:, None] * 10])
    found_CD = kmeans(points_ND, 4, 50, torch.Generator().manual_seed(2))
    assert len(nearest(points_ND, found_CD).unique()) == 4


def test_kmeans_wants_enough_points() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        kmeans(torch.zeros(5, 2), 8, 1, torch.Generator())


def test_fitted_books_leave_less_at_every_level() -> None:
    generator = torch.Generator().manual_seed(2)
    quantizer = small_quantizer(False)
    latent_BTD = torch.randn(4, 100, 6, generator=generator)
    fit_codebooks(quantizer, latent_BTD.flatten(0, 1), 50, generator)
    errors = [(quantize(quantizer, latent_BTD, k)[-1] - latent_BTD).square().mean() for k in (1, 2, 3)]
    assert errors[0] > errors[1] > errors[2]
    # counts are scaled to a batch of 50
    assert float(quantizer[0].cluster_size.sum()) == pytest.approx(50, rel=1e-4)


def test_gradient_passes_straight_through_once() -> None:
    quantizer = small_quantizer(False)
    latent_BTD = torch.randn(2, 5, 6, requires_grad=True)
    through_BTD, _ = straight_through(latent_BTD, quantize(quantizer, latent_BTD, 3))
    through_BTD.sum().backward()
    torch.testing.assert_close(latent_BTD.grad, torch.ones(2, 5, 6))


def test_commitment_pulls_towards_the_sum_of_codes() -> None:
    quantizer = small_quantizer(False)
    latent_BTD = torch.randn(1, 1, 6, requires_grad=True)
    through_BTD, commitment = straight_through(latent_BTD, quantize(quantizer, latent_BTD, 1))
    commitment.backward()
    torch.testing.assert_close(latent_BTD.grad, 2 / 6 * (latent_BTD - through_BTD).detach())


def test_training_equals_the_package_in_evaluation() -> None:
    quantizer = small_quantizer(False)
    latent_BTD = torch.randn(2, 30, 6)
    package = ResidualVectorQuantization(num_quantizers=3, dim=6, codebook_size=16, kmeans_init=False).eval()
    for layer, codebook in zip(package.layers, quantizer, strict=True):
        layer._codebook.load_state_dict(codebook.state_dict())
    expected_BTD = package.decode(package.encode(latent_BTD.transpose(1, 2))).transpose(1, 2)
    torch.testing.assert_close(quantize(quantizer, latent_BTD, 3)[-1], expected_BTD)


def test_dead_codes_come_back_to_life() -> None:
    torch.manual_seed(3)
    quantizer = small_quantizer(True)
    codebook = quantizer[0]
    far = torch.arange(16) >= 4
    codebook.embed.copy_(torch.where(far[:, None], 1e3, codebook.embed))
    codebook.embed_avg.copy_(codebook.embed)
    codebook.cluster_size.fill_(1.0)
    used = set()
    for step in range(500):
        latent_BTD = torch.randn(2, 40, 6)
        quantize(quantizer, latent_BTD, 1)
        if step >= 400:
            used |= set(codebook.encode(latent_BTD).flatten().tolist())
    assert len(used) == 16
