"""What the judges say of the original recordings: reference sets, and the originals of held-out clips."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musicbench.assessment.samples import cut, find_original
from musicbench.content_cache import ContentCache
from musicbench.data.audio import read_audio
from musicbench.data.audio_folder import Listing, folder_sha256, read_clips
from musicbench.data.crops import Crop, evaluation_crops
from musicbench.errors import UserError
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.evaluation.judges.base import Judge, judge_key
from musicbench.evaluation.judging import Judgement
from musicbench.evaluation.metrics.moments import RunningMoments
from musicbench.evaluation.references.sets import ReferenceSet, fma_pop
from musicbench.evaluation.references.stored import original_judgements


class Originals:
    """The originals of a run's token store, by the file that came with it or by their audio.

    Args:
        run: an Assembly.
    """

    def __init__(self, run: Any) -> None:
        self.run = run
        self.folder = Path(run.config.evaluation.originals)
        self.cache = Path(run.config.cache) / "judged"
        self._references: dict[str, ReferenceSet] = {}

    def reference_sha256(self, judge: Judge) -> str:
        """Hash of what FAD is measured against, from files alone: nothing is judged.

        Raises:
            UserError: it is not there.
        """
        wanted = self.run.config.evaluation.reference
        if wanted == "fma_pop":
            return self.reference(judge).sha256
        if wanted != "originals":
            return folder_sha256(self._listing.files, self.run.hashes)
        if self.run.reference.made_by(judge):
            return str(self.run.reference.sha256)
        return self._files_sha256([clip.id for clip in self.run.store.split("train")])

    def reference(self, judge: Judge) -> ReferenceSet:
        """The reference of FAD that ``evaluation.reference`` names.

        Raises:
            UserError: there is none for this judge.
        """
        key = judge_key(judge)
        if key not in self._references:
            self._references[key] = self._reference(judge)
        return self._references[key]

    def _reference(self, judge: Judge) -> ReferenceSet:
        wanted, stored = self.run.config.evaluation.reference, self.run.reference
        if wanted == "fma_pop":
            stats = self.run.config.evaluation.fadtk
            return fma_pop(judge, None if stats is None else Path(stats))
        if wanted != "originals":
            return self._folder_reference(judge)
        if stored.made_by(judge):
            return ReferenceSet("training originals", stored.sha256, stored.windows, stored.mean, stored.cov)
        clips = (self._audio(clip.id) for clip in self.run.store.split("train"))
        return _reference_set("training originals", self.reference_sha256(judge), judge, clips, self.cache)

    @cached_property
    def crops_sha256(self) -> str:
        """Hash of the originals of the held-out crops: of the stored view of them, or of the recordings' files.

        Raises:
            UserError: a judge has not heard them, and their audio is not there.
        """
        stored, settings = self.run.reference, self.run.config.evaluation
        if all(stored.made_by(judge) for judge in self.run.judges.roles.values()):
            return str(stored.sha256)
        crops = evaluation_crops(self.run.store, settings.split, settings.seconds, settings.per_piece)
        return self._files_sha256(sorted({crop.clip for crop in crops}))

    def of_crops(self, judges: Iterable[Judge], crops: Sequence[Crop]) -> Heard:
        """What each judge says of the originals of held-out crops, by ``judge_key``."""
        stored, frame_rate = self.run.reference, self.run.store.frame_rate
        distinct = {judge_key(judge): judge for judge in judges}
        known = [key for key, judge in distinct.items() if stored.made_by(judge)]
        found: dict[str, list[Judgement]] = {key: original_judgements(stored, crops, frame_rate) for key in known}
        unheard = [judge for key, judge in distinct.items() if key not in found]
        if unheard:
            clips = (cut(*self._audio(crop.clip), crop, frame_rate) for crop in crops)
            found |= hear(unheard, clips, self.cache, len(crops))
        return found

    @cached_property
    def codec_reference(self) -> ReferenceSet:
        """Moments of the training clips' latents in the codec, from their stored codes; computed once."""
        card, codec = self.run.store.card, self.run.codec
        digest = hashlib.sha256(f"{card['codes_sha256']} {card['clips_sha256']} {codec.sha256}".encode()).hexdigest()
        kept = ContentCache(Path(self.run.config.cache) / "codec_reference", "mean", "cov", "frames")
        found = kept.get(self._training_latents, digest)
        return ReferenceSet("training codes", digest, int(found["frames"]), found["mean"], found["cov"])

    def _training_latents(self) -> dict[str, np.ndarray]:
        self.run.store.verify()  # what is kept for good must not come from damaged codes
        latents = self.run.latents
        moments = RunningMoments(latents.codebooks_KVC.shape[2])
        for clip in self.run.store.split("train"):
            codes_KT = torch.from_numpy(self.run.store.codes(clip).astype(np.int64))
            moments.add(latents.latents(codes_KT[None])[0].numpy())
        return {"mean": moments.mean_D, "cov": moments.covariance, "frames": np.array(moments.count)}

    def _path(self, clip: str) -> Path:
        path = find_original(self.folder, clip)
        if path is None:
            raise UserError(
                f"these judges have not heard the originals, and {self.folder} has no audio of {clip}; name the folder "
                "of the recordings with evaluation.originals (`musicbench prepare` makes runs/corpus/audio)"
            )
        return path

    def _audio(self, clip: str) -> tuple[Tensor, int]:
        return read_audio(self._path(clip))

    def _files_sha256(self, clips: Iterable[str]) -> str:
        found = self.run.hashes.of([self._path(clip) for clip in clips])
        return hashlib.sha256("".join(found).encode()).hexdigest()

    @cached_property
    def _listing(self) -> Listing:
        return Listing.of(Path(self.run.config.evaluation.reference))

    def _folder_reference(self, judge: Judge) -> ReferenceSet:
        folder = Path(self.run.config.evaluation.reference).resolve()
        report = deepcopy(self._listing.report)  # one for each pass: several judges may hear the folder
        clips = read_clips(self._listing.items, report, seconds=None, shortest=judge.window_seconds)
        heard = ((audio_N, rate) for _, audio_N, rate in clips)
        found = _reference_set(folder.name, self.reference_sha256(judge), judge, heard, self.cache)
        for line in report.lines():
            print(f"reference {folder.name}: {line}", file=sys.stderr)
        return found


def _reference_set(
    name: str, sha256: str, judge: Judge, clips: Iterable[tuple[Tensor, int]], cache: Path
) -> ReferenceSet:
    heard = hear([judge], clips, cache)[judge_key(judge)]
    return ReferenceSet.from_embeddings(name, sha256, [judgement.embeddings_WD for judgement in heard])
