"""Frame rates that are no whole numbers: lengths in seconds come back as lengths in seconds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicbench.codecs.chunked import ChunkedCodec
from musicbench.data.crops import TrainingCrops, evaluation_crops
from musicbench.data.manifest import Recording
from musicbench.data.store import TokenStore
from musicbench.data.tokenise import tokenise_recordings
from tests.helpers.small_codecs import dac_codec, segmented_codec

SECONDS = 12.0


def dac_at_an_odd_rate() -> ChunkedCodec:
    codec = dac_codec()
    codec.sample_rate = 3217
    codec.frame_rate = codec.sample_rate / codec.hop
    return codec


@pytest.mark.parametrize("make", [segmented_codec, dac_at_an_odd_rate])
def test_crops_last_as_long_as_they_are_asked_for(make: Callable[[], ChunkedCodec], tmp_path: Path) -> None:
    codec = make()
    random = np.random.default_rng(0)
    recordings = []
    for split in ("train", "validation", "test"):
        path = tmp_path / f"{split}.wav"
        soundfile.write(path, 0.2 * random.standard_normal((round(SECONDS * 4000), 2)), 4000, "FLOAT")
        recordings.append(Recording(split, split, split, path, ("a tune",), {}, {}))
    tokenise_recordings(recordings, codec, tmp_path / "store", {})
    store = TokenStore.open(tmp_path / "store")
    assert (store.levels, store.channels, store.frame_rate) == (3, codec.channels, codec.frame_rate)
    assert store.card["splits"]["test"]["seconds"] == pytest.approx(SECONDS, abs=0.05)
    crops = evaluation_crops(store, "test", 3.0, 4)
    segment = store.segment_frames
    assert segment == codec.segment_frames == (50 if codec.channels == 2 else 1)
    assert store.card["codec"].get("segment_frames", 1) == segment
    assert len(crops) == 1 if segment > 1 else len(crops) in (3, 4)
    starts = {crop.start_frame for crop in map(TrainingCrops(store, 60, seed=0).__getitem__, range(300))}
    last = store.split("train")[0].frames - 60
    assert starts == set(range(0, last + 1, segment)) if segment > 1 else len(starts) > 200
    for crop in crops:
        second = float(crop.id.partition("@")[2])
        assert abs(crop.start_frame / store.frame_rate - second) <= 0.5 / store.frame_rate
        codes_KT = torch.from_numpy(store.codes(crop.source, crop.start_frame, crop.frames).astype(np.int64))
        audio_BCN = codec.decode(codes_KT[None])
        assert audio_BCN.shape[1] == codec.channels
        assert abs(audio_BCN.shape[2] / codec.sample_rate - 3.0) <= 2 / store.frame_rate
