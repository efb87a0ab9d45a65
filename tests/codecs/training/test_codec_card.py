import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from musicbench.codecs import load_codec
from musicbench.codecs.metrics import mel_distance, perplexity, snr_db
from musicbench.codecs.training.card import complete_card
from musicbench.codecs.training.evaluate import reconstruction_figures
from musicbench.codecs.training.loop import train_codec
from musicbench.seals import sealed_lines

RATE = 4000
SHIPPED = instantiate(OmegaConf.load(Path(__file__).parents[3] / "conf/codec_training/mini.yaml"))
SMALL = {"sample_rate": RATE, "hop": 40, "levels": 2, "codebook_size": 16, "dimension": 8}
NARROW = {"encoder_width": 12, "encoder_blocks": 1, "decoder_width": 12, "decoder_blocks": 1}
CONFIG = dataclasses.replace(
    SHIPPED,
    shape=dataclasses.replace(SHIPPED.shape, **SMALL, **NARROW),
    crop_seconds=0.2,
    batch=4,
    steps=4,
    mel_windows=[128],
    validate_every=2,
)
ORIGIN = {"command": "the command", "machine": {"cpu": "a processor"}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "audio").mkdir()
    random, lines = np.random.default_rng(0), []
    for number, split in enumerate(["train"] * 4 + ["validation"] * 2 + ["test"] * 4):
        pitch = random.uniform(80, 400, 8).repeat(1000)
        audio = 0.3 * np.sin(2 * np.pi * pitch.cumsum() / RATE)
        soundfile.write(folder / "audio" / f"c{number}.flac", audio, RATE)
        lines.append({"id": f"c{number}", "split": split, "source": {"licence": "CC0"}})
    (folder / "clips.jsonl").write_text(sealed_lines(lines))
    return folder


def level_ratio(original_1N: torch.Tensor, made_1N: torch.Tensor, sample_rate: int) -> float:
    """A judge that is easy to compute."""
    assert sample_rate == RATE and original_1N.shape == made_1N.shape
    return float(made_1N.std() / original_1N.std())


def test_figures_are_those_of_the_metrics(corpus: Path, tmp_path: Path) -> None:
    codec = load_codec(str(train_codec(CONFIG, corpus, tmp_path, ORIGIN)))
    clip = (3000 * np.random.default_rng(1).standard_normal(9000)).astype(np.int16)
    figures = reconstruction_figures(codec, [clip], 1.0, level_ratio)
    audio_1N = torch.from_numpy(clip[2500:6500] / 32768.0).float()[None]
    codes_1KT = codec.encode(audio_1N[None])
    for k in (1, 2):
        made_1N = codec.decode(codes_1KT[:, :k])[0]
        assert figures["snr_db"][k - 1] == pytest.approx(float(snr_db(audio_1N, made_1N)), abs=1e-3)
        assert figures["mel_distance"][k - 1] == pytest.approx(float(mel_distance(audio_1N, made_1N, RATE)), abs=1e-3)
        assert figures["kld"][k - 1] == pytest.approx(level_ratio(audio_1N, made_1N, RATE), abs=1e-3)
        assert figures["perplexity"][k - 1] == pytest.approx(perplexity(codes_1KT[0, k - 1], 16), abs=0.1)


def test_the_card_and_its_page_say_what_was_measured(corpus: Path, tmp_path: Path) -> None:
    folder = train_codec(CONFIG, corpus, tmp_path, ORIGIN)
    complete_card(tmp_path, corpus, {"id": "ratio", "kld": "ratio of levels"}, level_ratio)
    card = json.loads((folder / "card.json").read_text())
    test = card["test"]
    assert test["kbit_per_second"] == [0.4, 0.8]  # 100 frames a second of 4 bits a level
    assert test["codec"]["clips"] == test["floor"]["clips"] == 4
    assert card["training"]["data"]["licences"] == {"CC0": 4}
    page = (folder / "README.md").read_text()
    for name in ("codec", "floor"):
        for value in test[name]["snr_db"] + test[name]["kld"]:
            assert math.isfinite(value) and f"{value:.4g}" in page
    assert "the command" in page
    for picture in ("rate_distortion", "training", "spectrograms"):
        assert f"{picture}.png" in page
        with Image.open(folder / f"{picture}.png") as image:
            assert image.width > 600 and len(image.getcolors(1 << 24) or []) > 20
