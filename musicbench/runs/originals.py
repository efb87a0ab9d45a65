"""The original recordings as the judges hear them: reference sets, and the originals of held-out clips."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from musicbench.content_cache import ContentCache
from musicbench.data.audio import read_channels
from musicbench.data.audio_clips import read_clips
from musicbench.data.crops import Crop
from musicbench.evaluation.judge_facts import judge_key
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.evaluation.judges.base import Judge
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.evaluation.judging import Judgement
from musicbench.evaluation.metrics.moments import RunningMoments
from musicbench.evaluation.references.sets import ReferenceSet, fma_pop
from musicbench.evaluation.references.stored import original_judgements
from musicbench.runs.original_files import OriginalFiles


class Originals:
    """The originals of a token store, heard by judges.

    Args:
        files: the recordings' files.
        cache: folder in which judges' outputs are kept.
    """

    def __init__(self, files: OriginalFiles, cache: Path) -> None:
        self.files, self.cache = files, cache
        self.store, self.stored, self.settings = files.store, files.stored, files.settings
        self._references: dict[str, ReferenceSet] = {}

    def reference(self, judge: Judge) -> ReferenceSet:
        """Return the reference of FAD that ``evaluation.reference`` names.

        Raises:
            UserError: there is no such reference for this judge.
        """
        key = judge_key(judge)
        if key not in self._references:
            self._references[key] = self._reference(judge)
        return self._references[key]

    def _reference(self, judge: Judge) -> ReferenceSet:
        wanted, stored = self.settings.reference, self.stored
        if wanted == "fma_pop":
            stats = self.settings.fadtk
            return fma_pop(judge, None if stats is None else Path(stats))
        if wanted != "originals":
            return self._folder_reference(judge)
        if stored.made_by(judge):
            return ReferenceSet("training originals", stored.sha256, stored.windows, stored.mean, stored.cov)
        clips = (self._audio(clip.id) for clip in self.store.split("train"))
        return _reference_set("training originals", self.files.reference_sha256(judge), judge, clips, self.cache)

    def of_crops(self, judges: Iterable[Judge], crops: Sequence[Crop]) -> Heard:
        """Judge the originals of held-out crops; return the outputs by ``judge_key``.

        Raises:
            UserError: the stored reference does not hold them, and their audio is not on this machine.
        """
        stored, frame_rate = self.stored, self.store.frame_rate
        distinct = {judge_key(judge): judge for judge in judges}
        held = all(stored.holds(crop.clip) for crop in crops)
        known = [key for key, judge in distinct.items() if held and stored.made_by(judge)]
        found: dict[str, list[Judgement]] = {key: original_judgements(stored, crops, frame_rate) for key in known}
        unheard = [judge for key, judge in distinct.items() if key not in found]
        if unheard:
            clips = (cut(*self._audio(crop.clip), crop, frame_rate) for crop in crops)
            found |= hear(unheard, clips, self.cache, len(crops))
        return found

    def codec_reference(self, latents: CodecLatents) -> ReferenceSet:
        """Return the moments of the training clips' latents in the codec, from their stored codes; computed once."""
        card = self.store.card
        digest = hashlib.sha256(f"{card['codes_sha256']} {card['clips_sha256']} {latents.sha256}".encode()).hexdigest()
        kept = ContentCache(self.cache.parent / "codec_reference", "mean", "cov", "frames")
        found = kept.get(lambda: self._training_latents(latents), digest)
        return ReferenceSet("training codes", digest, int(found["frames"]), found["mean"], found["cov"])

    def _training_latents(self, latents: CodecLatents) -> dict[str, np.ndarray]:
        self.store.verify()  # These moments are kept for good, so they must not come from damaged codes.
        moments = RunningMoments(latents.codebooks_KVC.shape[2])
        for clip in self.store.split("train"):
            codes_KT = torch.from_numpy(self.store.codes(clip).astype(np.int64))
            moments.add(latents.latents(codes_KT[None])[0].numpy())
        return {"mean": moments.mean_D, "cov": moments.covariance, "frames": np.array(moments.count)}

    def _audio(self, clip: str) -> tuple[Tensor, int]:
        return read_channels(self.files.path(clip), 1)

    def _folder_reference(self, judge: Judge) -> ReferenceSet:
        folder = Path(self.settings.reference).resolve()
        # A copy for each pass, because several judges may hear the folder.
        report = deepcopy(self.files.listing.report)
        clips = read_clips(self.files.listing.items, report, seconds=None, shortest=judge.window_seconds)
        heard = ((audio_N[None], rate) for _, audio_N, rate in clips)
        found = _reference_set(folder.name, self.files.reference_sha256(judge), judge, heard, self.cache)
        for line in report.lines():
            print(f"reference {folder.name}: {line}", file=sys.stderr)
        return found


def cut(audio_CN: Tensor, rate: int, crop: Crop, frame_rate: float) -> tuple[Tensor, int]:
    """Cut the crop out of its clip's audio [C, N]."""
    start, stop = (round(f / frame_rate * rate) for f in (crop.start_frame, crop.start_frame + crop.frames))
    return audio_CN[:, start:stop], rate


def _reference_set(
    name: str, sha256: str, judge: Judge, clips: Iterable[tuple[Tensor, int]], cache: Path
) -> ReferenceSet:
    heard = hear([judge], clips, cache)[judge_key(judge)]
    return ReferenceSet.from_embeddings(name, sha256, [judgement.embeddings_WD for judgement in heard])
