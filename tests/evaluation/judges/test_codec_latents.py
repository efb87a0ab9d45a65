"""Codec latents of the bundled codec: sums of code vectors, frame by frame."""

import numpy as np
import pytest
import torch

from musicbench.codecs import load_codec
from musicbench.evaluation.judge_facts import judge_key
from musicbench.evaluation.judge_set import hear
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.evaluation.metrics.frechet import frechet_audio_distance


@pytest.fixture(scope="module")
def latents() -> CodecLatents:
    return CodecLatents(load_codec("mini"))


def test_are_the_sums_of_code_vectors(latents, melody):
    audio = melody(1, 1.0, 32000)
    codes_KT = latents.codec.encode(audio[None, None])[0].numpy()
    books = latents.codec.codebooks_KVC.numpy()
    ours = latents(audio[None], 32000).embeddings_BWD[0].numpy()
    assert ours.shape == (50, books.shape[2])
    for t in range(50):
        expected = sum(books[k, codes_KT[k, t]].astype(np.float64) for k in range(4))
        np.testing.assert_allclose(ours[t], expected, rtol=0, atol=1e-5)


def test_fixed_frames(latents, melody, check_judge):
    check_judge(latents, torch.stack([melody(seed, 1.0, 32000) for seed in range(3)]), 32000)


def test_distance_grows_with_noise(latents, melody):
    clips = torch.stack([melody(seed, 4.0, 32000) for seed in range(3)])
    noise = torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    heard = [latents(clips + level * noise, 32000).embeddings_BWD.numpy() for level in (0, 0.003, 0.1)]
    near, far = (
        frechet_audio_distance(*(side.reshape(-1, side.shape[-1]) for side in (heard[0], other))) for other in heard[1:]
    )
    assert 0 < near < far


def test_a_padded_last_frame_is_left_out(latents, melody):
    audio = melody(2, 1.0, 32000)[: 640 * 20 + 100]
    assert latents(audio[None], 32000).embeddings_BWD.shape[1] == 20


def test_a_codec_hears_its_channels_and_judges_their_mean(latents, stub_judge, melody):
    left_N, right_N = melody(1, 4.0, 32000), melody(2, 4.0, 32000)
    audio_CN = torch.stack([left_N, right_N])
    heard = hear([stub_judge, latents], [(audio_CN, 32000)])
    mean_1N = ((left_N + right_N) / 2)[None]
    for judge in (stub_judge, latents):
        expected = judge(mean_1N, 32000).embeddings_BWD[0].numpy()
        np.testing.assert_array_equal(heard[judge_key(judge)][0].embeddings_WD, expected)

    class Stereo:
        """Encodes the second channel, so that it matters which ones arrive."""

        id, sha256, sample_rate, channels, frame_rate = "two", "2" * 64, 32000, 2, 50.0
        codebooks_KVC = latents.codebooks_KVC

        def encode(self, audio_BCN):
            return latents.codec.encode(audio_BCN[:, 1:])

    two = CodecLatents(Stereo())
    found = hear([two], [(audio_CN, 32000)])[judge_key(two)][0].embeddings_WD
    np.testing.assert_array_equal(found, latents(right_N[None], 32000).embeddings_BWD[0].numpy())
