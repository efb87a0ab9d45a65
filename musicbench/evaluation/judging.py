"""What a judge says of each of many clips, at full batches of windows, and kept between calls."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from musicbench.evaluation.judges.base import Judge, WindowedJudge
from musicbench.seals import cached_npz, save_npz

CODE = 1
"""Raised by hand whenever a change of the code changes what the same weights say: kept outputs are stale then."""


@dataclass(frozen=True)
class Judgement:
    """A judge's outputs for one clip: embeddings [W, D] and logits [W, C]."""

    embeddings_WD: np.ndarray
    logits_WC: np.ndarray


def judge_clips(judge: Judge, clips: Iterable[Tensor], sample_rate: int, cache: Path | None = None) -> list[Judgement]:
    """Judge clips [N] of audio; they may differ in length.

    Windows of consecutive clips share the network's batches: the outputs are those of judging clip by clip, bit for
    bit where each clip fills whole batches, else up to rounding (1e-5). Clips are taken as they are needed and not
    held: a generator may decode them.

    Args:
        cache: folder of a `JudgementCache`, from which known clips are answered; None: all are judged.

    Raises:
        UserError: a clip is too short for the judge or not finite, or the folder cannot be written.
    """
    if cache is None:
        return list(_heard(judge, clips, sample_rate))
    kept = JudgementCache(cache, judge)
    judgements: dict[int, Judgement] = {}
    unheard: deque[tuple[int, Path]] = deque()

    def missing() -> Iterator[Tensor]:
        for number, audio_N in enumerate(clips):
            file = kept.file(audio_N, sample_rate)
            known = kept.read(file)
            if known is not None:
                judgements[number] = known
            else:
                unheard.append((number, file))
                yield audio_N

    for judgement in _heard(judge, missing(), sample_rate):
        number, file = unheard.popleft()
        kept.write(file, judgement)
        judgements[number] = judgement
    return [judgements[number] for number in range(len(judgements))]


def _heard(judge: Judge, clips: Iterable[Tensor], sample_rate: int) -> Iterator[Judgement]:
    """Judgements of clips [N] in turn; a judge without windows of its own hears one clip at a time."""
    if isinstance(judge, WindowedJudge):
        for embeddings_WD, logits_WC in judge.stream(clips, sample_rate):
            yield Judgement(embeddings_WD.numpy(), logits_WC.numpy())
    else:
        for audio_N in clips:
            output = judge(audio_N[None], sample_rate)
            yield Judgement(output.embeddings_BWD[0].numpy(), output.logits_BWC[0].numpy())


class JudgementCache:
    """A judge's outputs in a folder, each under the hash of all that it follows from; no name or path counts.

    Processes may share the folder: files appear whole, and whoever judges the same audio writes the same.
    """

    def __init__(self, folder: Path, judge: Judge) -> None:
        self.folder = folder
        facts = (CODE, judge.id, judge.sha256, judge.sample_rate, judge.window_seconds, judge.hop_seconds)
        self._judge = "\n".join(map(str, facts))

    def file(self, audio: Tensor, sample_rate: int) -> Path:
        """Where the outputs for some audio are or will be."""
        audio = audio.cpu().float().contiguous()
        digest = hashlib.sha256(f"{self._judge}\n{sample_rate} {tuple(audio.shape)}\n".encode())
        digest.update(audio.numpy().data)
        return self.folder / f"{digest.hexdigest()}.npz"

    def read(self, file: Path) -> Judgement | None:
        """What was written to a `file`; None if there is nothing, or it is damaged."""
        saved = cached_npz(file, "embeddings", "logits")
        return None if saved is None else Judgement(saved["embeddings"], saved["logits"])

    def write(self, file: Path, judgement: Judgement) -> None:
        """Keep outputs.

        Raises:
            UserError: the folder cannot be written.
        """
        save_npz(file, embeddings=judgement.embeddings_WD, logits=judgement.logits_WC)
