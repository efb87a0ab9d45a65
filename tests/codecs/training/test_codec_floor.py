import numpy as np
import torch

from musicbench.codecs.metrics import snr_db
from musicbench.codecs.training.evaluate import reconstruction_figures
from musicbench.codecs.training.floor import MdctFloor


def test_floor_improves_with_every_level_and_is_measured_like_a_codec() -> None:
    random = np.random.default_rng(0)
    clips = []
    for _ in range(6):
        pitch = random.uniform(100, 1000, 4).repeat(2000)
        clips.append((8000 * np.sin(2 * np.pi * pitch.cumsum() / 8000)).astype(np.int16))
    floor = MdctFloor.fit(clips, 8000, hop=80, levels=3, codebook_size=32, iterations=8)
    figures = reconstruction_figures(floor, clips, 0.5)
    snr = figures["snr_db"]
    assert snr[0] < snr[1] < snr[2] and snr[2] > 3
    assert all(1 < p <= 32 for p in figures["perplexity"])
    audio_BCN = torch.randn(2, 1, 1000)
    codes_BKT = floor.encode(audio_BCN)
    assert codes_BKT.shape == (2, 3, 14)
    assert floor.decode(codes_BKT).shape == (2, 1, 1040)


def test_figures_are_those_of_the_metrics() -> None:
    random = np.random.default_rng(1)
    clip = (1000 * random.standard_normal(8000)).astype(np.int16)
    floor = MdctFloor.fit([clip], 8000, hop=40, levels=1, codebook_size=16, iterations=2)
    audio_1N = torch.from_numpy(clip[2000:6000] / 32768.0).float()[None]
    decoded_1N = floor.decode(floor.encode(audio_1N[None]))[0, :, :4000]
    figures = reconstruction_figures(floor, [clip], 0.5)
    assert abs(figures["snr_db"][0] - float(snr_db(audio_1N, decoded_1N))) < 1e-3
