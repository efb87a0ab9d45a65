"""What the judges say of the original recordings: reference sets, and the originals of held-out clips."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from musicbench.data.audio import read_audio
from musicbench.data.audio_folder import Listing, folder_sha256, read_clips
from musicbench.data.crops import Crop, evaluation_crops
from musicbench.data.hashing import ContentHashes
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.evaluation.judges.base import Judge, judge_key
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.evaluation.judging import Judgement
from musicbench.evaluation.metrics.moments import RunningMoments
from musicbench.evaluation.references.sets import ReferenceSet, fma_pop
from musicbench.evaluation.references.stored import Reference, original_judgements
from musicbench.seals import cached_npz, save_npz


class Originals:
    """The originals of a token store, by the file that came with it or by their audio.

    Args:
        store: whose clips they are.
        stored: what a judge has said of them before, kept beside the store.
        settings: the configuration's ``evaluation``.
        cache: folder of what judges have said.
        hashes: of recordings that were read.
    """

    def __init__(
        self, store: TokenStore, stored: Reference, settings: DictConfig, cache: Path, hashes: ContentHashes
    ) -> None:
        self.store, self.stored, self.settings, self.cache, self.hashes = store, stored, settings, cache, hashes
        self.folder = Path(settings.originals)
        self._references: dict[str, ReferenceSet] = {}

    def reference_sha256(self, judge: Judge) -> str:
        """Hash of what FAD is measured against, from files alone: nothing is judged.

        Raises:
            UserError: it is not there.
        """
        wanted = self.settings.reference
        if wanted == "fma_pop":
            return self.reference(judge).sha256
        if wanted != "originals":
            return folder_sha256(self._listing.files, self.hashes)
        if self.stored.made_by(judge):
            return str(self.stored.sha256)
        return self._files_sha256([clip.id for clip in self.store.split("train")])

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
        wanted, stored = self.settings.reference, self.stored
        if wanted == "fma_pop":
            stats = self.settings.fadtk
            return fma_pop(judge, None if stats is None else Path(stats))
        if wanted != "originals":
            return self._folder_reference(judge)
        if stored.made_by(judge):
            return ReferenceSet("training originals", stored.sha256, stored.windows, stored.mean, stored.cov)
        clips = (self._audio(clip.id) for clip in self.store.split("train"))
        return _reference_set("training originals", self.reference_sha256(judge), judge, clips, self.cache)

    def crops_sha256(self, judges: Iterable[Judge]) -> str:
        """Hash of the originals of the held-out crops: of the stored view of them, or of the recordings' files.

        Raises:
            UserError: a judge has not heard them, and their audio is not there.
        """
        if all(self.stored.made_by(judge) for judge in judges):
            return str(self.stored.sha256)
        return self._files_sha256(sorted({crop.clip for crop in self.crops}))

    @cached_property
    def crops(self) -> list[Crop]:
        """The held-out crops."""
        return evaluation_crops(self.store, self.settings.split, self.settings.seconds, self.settings.per_piece)

    def of_crops(self, judges: Iterable[Judge], crops: Sequence[Crop]) -> Heard:
        """What each judge says of the originals of held-out crops, by ``judge_key``."""
        stored, frame_rate = self.stored, self.store.frame_rate
        distinct = {judge_key(judge): judge for judge in judges}
        known = [key for key, judge in distinct.items() if stored.made_by(judge)]
        found: dict[str, list[Judgement]] = {key: original_judgements(stored, crops, frame_rate) for key in known}
        unheard = [judge for key, judge in distinct.items() if key not in found]
        if unheard:
            clips = (cut(*self._audio(crop.clip), crop, frame_rate) for crop in crops)
            found |= hear(unheard, clips, self.cache, len(crops))
        return found

    def codec_reference(self, latents: CodecLatents) -> ReferenceSet:
        """Moments of the training clips' latents in the codec, from their stored codes; computed once."""
        card = self.store.card
        digest = hashlib.sha256(f"{card['codes_sha256']} {card['clips_sha256']} {latents.sha256}".encode()).hexdigest()
        path = self.cache.parent / "codec_reference" / f"{digest}.npz"
        saved = cached_npz(path, "mean", "cov", "frames")
        if saved is not None:
            return ReferenceSet("training codes", digest, int(saved["frames"]), saved["mean"], saved["cov"])
        moments = RunningMoments(latents.codebooks_KVC.shape[2])
        for clip in self.store.split("train"):
            codes_KT = torch.from_numpy(self.store.codes(clip).astype(np.int64))
            moments.add(latents.latents(codes_KT[None])[0].numpy())
        save_npz(path, mean=moments.mean_D, cov=moments.covariance, frames=np.int64(moments.count))
        return ReferenceSet("training codes", digest, moments.count, moments.mean_D, moments.covariance)

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
        found = self.hashes.of([self._path(clip) for clip in clips])
        return hashlib.sha256("".join(found).encode()).hexdigest()

    @cached_property
    def _listing(self) -> Listing:
        return Listing.of(Path(self.settings.reference))

    def _folder_reference(self, judge: Judge) -> ReferenceSet:
        folder = Path(self.settings.reference).resolve()
        report = deepcopy(self._listing.report)  # one for each pass: several judges may hear the folder
        clips = read_clips(self._listing.items, report, seconds=None, shortest=judge.window_seconds)
        heard = ((audio_N, rate) for _, audio_N, rate in clips)
        found = _reference_set(folder.name, self.reference_sha256(judge), judge, heard, self.cache)
        for line in report.lines():
            print(f"reference {folder.name}: {line}", file=sys.stderr)
        return found


def find_original(originals: Path, clip: str) -> Path | None:
    """A clip's recording: named by clip id, as in a corpus with .flac at the end, as in a manifest without."""
    return next((path for path in (originals / f"{clip}.flac", originals / clip) if path.is_file()), None)


def cut(audio_N: Tensor, rate: int, crop: Crop, frame_rate: float) -> tuple[Tensor, int]:
    """The crop's stretch of its clip's audio, and the sample rate."""
    start, stop = (round(f / frame_rate * rate) for f in (crop.start_frame, crop.start_frame + crop.frames))
    return audio_N[start:stop], rate


def _reference_set(
    name: str, sha256: str, judge: Judge, clips: Iterable[tuple[Tensor, int]], cache: Path
) -> ReferenceSet:
    heard = hear([judge], clips, cache)[judge_key(judge)]
    return ReferenceSet.from_embeddings(name, sha256, [judgement.embeddings_WD for judgement in heard])
