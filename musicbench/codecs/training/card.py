"""The card of a trained codec: what it learned from, and how it does on held-out music beside the floor.

Shape suffixes: C channels (1), K levels, T frames, N samples.
"""

import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.load import load_codec
from musicbench.codecs.mdct_codec import MdctCodec, read_card
from musicbench.codecs.training.audio import read_split, to_float
from musicbench.codecs.training.evaluate import Divergence, middle, reconstruction_figures
from musicbench.codecs.training.export import write_card
from musicbench.codecs.training.floor import MdctFloor
from musicbench.codecs.training.page import write_page
from musicbench.codecs.training.pictures import draw_rate_distortion, draw_spectrograms
from musicbench.seals import read_sealed_lines

CLIP_SECONDS = 10.0  # of the middle of each test clip
PICTURED = 3  # clips with spectrograms
FLOOR = (
    "MDCT frames (sine window) with a residual k-means quantiser of the same frame rate, levels and codebook size, "
    "and the same search for codes; fitted on 40,000 frames of the training clips, 10 iterations of k-means a level"
)
METRICS = {
    "snr_db": "10 log10(signal / error energy), mean over clips, with 1 .. K levels",
    "mel_distance": "mean absolute difference of natural-log mel magnitudes (window 2048, hop 512, 80 bands, floor "
    "1e-4 of full scale), with 1 .. K levels",
    "perplexity": "exp of the entropy of each level's codes over all clips",
}


def complete_card(output: Path, corpus: Path, judge: dict[str, Any], divergence: Divergence) -> None:
    """Add to the card of a trained codec: figures on the test pieces beside the floor's, speed, licences, pictures.

    Args:
        output: folder of the training.
        judge: who hears the divergence, and its formula ("kld"), for the card.
        divergence: of an original and its reconstruction.

    Raises:
        UserError: the codec or the corpus is missing or damaged.
    """
    folder = output / "codec"
    codec = load_codec(str(folder))
    assert isinstance(codec, MdctCodec)
    test_clips = read_split(corpus, "test", codec.sample_rate)
    train_clips = read_split(corpus, "train", codec.sample_rate)
    floor = MdctFloor.fit(train_clips, codec.sample_rate, codec.hop, codec.levels, codec.codebook_size, codec.beam)
    card = read_card(folder)
    level_rate = codec.frame_rate * math.log2(codec.codebook_size)
    card["test"] = {
        "metrics": METRICS,
        "judge": judge,
        "kbit_per_second": [k * level_rate / 1000 for k in range(1, codec.levels + 1)],
        "codec": reconstruction_figures(codec, test_clips, CLIP_SECONDS, divergence),
        "floor": {"what": FLOOR} | reconstruction_figures(floor, test_clips, CLIP_SECONDS, divergence),
    }
    card["speed"] = _speed(codec, to_float(train_clips[0])[None, None])
    card["training"]["data"]["licences"] = _licences(corpus)
    write_card(folder, card)
    draw_rate_distortion(card["test"], folder / "rate_distortion.png")
    spaced = test_clips[:: len(test_clips) // PICTURED or 1][:PICTURED]
    shown = [middle(clip, round(CLIP_SECONDS * codec.sample_rate)) for clip in spaced]
    draw_spectrograms(shown, {"MDCT + k-means": floor, "codec": codec}, folder / "spectrograms.png")
    write_page(card, folder / "README.md")


def _licences(corpus: Path) -> dict[str, int]:
    """Clips of the train split by licence."""
    lines = (line for _, line in read_sealed_lines(corpus / "clips.jsonl"))
    return dict(Counter(line.get("source", {}).get("licence", "unknown") for line in lines if line["split"] == "train"))


def _speed(codec: ChunkedCodec, audio_1CN: torch.Tensor, repeats: int = 3) -> dict[str, Any]:
    """Seconds of audio per second, best of a few."""
    seconds = audio_1CN.shape[-1] / codec.sample_rate
    codes_1KT = codec.encode(audio_1CN)
    times: dict[str, list[float]] = {"encode": [], "decode": []}
    for _ in range(repeats):
        for name, call in (("encode", lambda: codec.encode(audio_1CN)), ("decode", lambda: codec.decode(codes_1KT))):
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    return {
        "unit": "times real time, batch 1, fp32",
        "threads": torch.get_num_threads(),
        **{name: round(seconds / min(values), 1) for name, values in times.items()},
    }
