"""The clips of a corpus folder in memory, and random crops of them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from musicbench.errors import UserError
from musicbench.regular_files import require_regular
from musicbench.seals import read_sealed_lines

SILENCE_RMS = 1e-3


def read_split(corpus: Path, split: str, sample_rate: int, limit: int | None = None) -> list[np.ndarray]:
    """Clips of one split as int16 arrays [N], in the order of clips.jsonl.

    Args:
        corpus: folder with clips.jsonl ("id" and "split" on each line) and audio/<id>.flac.
        limit: take that many clips, spread evenly over the split.

    Raises:
        UserError: the corpus is missing, empty in this split, or at another sample rate.
    """
    table = corpus / "clips.jsonl"
    if not table.is_file():
        raise UserError(f"{table} does not exist; make the corpus first: musicbench prepare stages=[corpus]")
    try:
        ids = [line["id"] for _, line in read_sealed_lines(table) if line["split"] == split]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{table} is damaged ({error!r}); make the corpus again") from error
    if not ids:
        raise UserError(f"{table} holds no clip of the {split} split; make more of the corpus")
    if limit is not None and limit < len(ids):
        ids = [ids[i] for i in np.linspace(0, len(ids) - 1, limit).round().astype(int)]

    def read(clip_id: str) -> np.ndarray:
        path = corpus / "audio" / f"{clip_id}.flac"
        try:
            require_regular(path)
            samples, rate = soundfile.read(path, dtype="int16")
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"cannot read {path} ({error}); make the corpus again") from error
        if rate != sample_rate or samples.ndim != 1:
            raise UserError(f"{path} is not mono at {sample_rate} Hz; make the corpus again")
        return samples

    with ThreadPoolExecutor(2) as pool:
        return list(tqdm(pool.map(read, ids), total=len(ids), desc=f"reading {split} clips", unit="clip"))


def to_float(samples: np.ndarray) -> torch.Tensor:
    """int16 samples as float32 in [-1, 1)."""
    return torch.from_numpy(samples.astype(np.float32) / 32768.0)


class RandomCrops:
    """Endless random crops of clips, each second of audio equally likely; near-silence is drawn again."""

    def __init__(self, clips: list[np.ndarray], samples: int, seed: int) -> None:
        """
        Args:
            clips: int16 arrays, those shorter than ``samples`` are left out.
            samples: N, length of a crop.

        Raises:
            UserError: no clip is long enough.
        """
        self.clips = [clip for clip in clips if len(clip) >= samples]
        if not self.clips:
            raise UserError(f"no training clip is as long as a crop of {samples} samples; lower crop_seconds")
        room = np.array([len(clip) - samples + 1 for clip in self.clips], dtype=np.float64)
        self._share = room / room.sum()
        self._samples = samples
        self.random = np.random.default_rng(seed)

    def batch(self, size: int) -> torch.Tensor:
        """Float crops [size, N]."""
        return torch.stack([self._crop() for _ in range(size)])

    def _crop(self) -> torch.Tensor:
        for _ in range(10):
            clip = self.clips[self.random.choice(len(self.clips), p=self._share)]
            start = self.random.integers(len(clip) - self._samples + 1)
            crop = to_float(clip[start : start + self._samples])
            if crop.square().mean().sqrt() > SILENCE_RMS:
                break
        return crop
