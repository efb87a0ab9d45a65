"""What the judges say of the original recordings: reference sets, and the originals of held-out clips."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musicbench.commands.samples import cut, find_original
from musicbench.data.audio import read_audio
from musicbench.data.audio_folder import folder_sha256, list_items, read_clips
from musicbench.data.crops import Crop
from musicbench.data.read_report import ReadReport
from musicbench.errors import UserError
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.evaluation.judges.base import Judge
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.evaluation.metrics.moments import RunningMoments
from musicbench.evaluation.reference import original_judgements
from musicbench.evaluation.reference_sets import ReferenceSet, fma_pop
from musicbench.files import atomic_path


class Originals:
    """The originals of a run's token store, by the file that came with it or by their audio.

    Args:
        run: an Assembly.
    """

    def __init__(self, run: Any) -> None:
        self.run = run
        self.folder = Path(run.config.evaluation.originals)
        self.cache = Path(run.config.cache) / "judged"

    @property
    def reference_identity(self) -> str:
        """Hash or name of what FAD is measured against, told before anything is judged."""
        wanted = self.run.config.evaluation.reference
        if wanted in ("originals", "fma_pop"):
            return f"{wanted} {self.run.reference.sha256}"
        return folder_sha256(list_items(Path(wanted), ReadReport()))

    def reference(self, judge: Judge) -> ReferenceSet:
        """The reference of FAD that ``evaluation.reference`` names.

        Raises:
            UserError: there is none for this judge.
        """
        wanted = self.run.config.evaluation.reference
        if wanted == "fma_pop":
            stats = self.run.config.evaluation.fadtk
            return fma_pop(judge, None if stats is None else Path(stats))
        if wanted != "originals":
            return self._folder_reference(judge, Path(wanted))
        stored = self.run.reference
        if stored.judge_sha256 == judge.sha256:
            return ReferenceSet("training originals", stored.sha256, stored.windows, stored.mean, stored.cov, None)
        return self._training_reference(judge)

    def of_crops(self, judges: Iterable[Judge], crops: Sequence[Crop]) -> Heard:
        """What each judge says of the originals of held-out crops, by the judge's sha256."""
        stored, frame_rate = self.run.reference, self.run.store.frame_rate
        distinct = {judge.sha256: judge for judge in judges}
        found = {}
        if distinct.pop(stored.judge_sha256, None):
            found[stored.judge_sha256] = original_judgements(stored, crops, frame_rate)
        if distinct:
            clips = (cut(*self._audio(crop.clip), crop, frame_rate) for crop in crops)
            found |= hear(distinct.values(), clips, self.cache, len(crops))
        return found

    def codec_reference(self) -> ReferenceSet:
        """Moments of the training clips' latents in the codec, from their stored codes; computed once."""
        card, codec = self.run.store.card, self.run.codec
        digest = hashlib.sha256(f"{card['codes_sha256']} {card['clips_sha256']} {codec.sha256}".encode()).hexdigest()
        path = Path(self.run.config.cache) / "codec_reference" / f"{digest}.npz"
        if not path.is_file():
            latents = CodecLatents(codec)
            moments = RunningMoments(latents.codebooks_KVC.shape[2])
            for clip in self.run.store.split("train"):
                codes_KT = torch.from_numpy(self.run.store.codes(clip).astype(np.int64))
                moments.add(latents.latents(codes_KT[None])[0].numpy())
            with atomic_path(path) as temporary:
                np.savez(temporary, mean=moments.mean_D, cov=moments.covariance, frames=moments.count)
        with np.load(path) as saved:
            return ReferenceSet("training codes", digest, int(saved["frames"]), saved["mean"], saved["cov"], None)

    def _audio(self, clip: str) -> tuple[Tensor, int]:
        path = find_original(self.folder, clip)
        if path is None:
            raise UserError(
                f"these judges have not heard the originals, and {self.folder} has no audio of {clip}; name the folder "
                "of the recordings with evaluation.originals (`musicbench prepare` makes runs/corpus/audio)"
            )
        return read_audio(path)

    def _training_reference(self, judge: Judge) -> ReferenceSet:
        clips = (self._audio(clip.id) for clip in self.run.store.split("train"))
        return _reference_set("training originals", None, judge, clips, self.cache)

    def _folder_reference(self, judge: Judge, folder: Path) -> ReferenceSet:
        report = ReadReport()
        items = list_items(folder, report)
        clips = read_clips(items, report, seconds=None, shortest=judge.window_seconds)
        found = _reference_set(
            folder.name, folder_sha256(items), judge, ((a, rate) for _, a, rate in clips), self.cache
        )
        for line in report.lines():
            print(f"reference {folder}: {line}")
        return found


def _reference_set(
    name: str, sha256: str | None, judge: Judge, clips: Iterable[tuple[Tensor, int]], cache: Path
) -> ReferenceSet:
    embeddings = [judgement.embeddings_WD for judgement in hear([judge], clips, cache)[judge.sha256]]
    content = hashlib.sha256(b"".join(rows_WD.tobytes() for rows_WD in embeddings)).hexdigest()
    return ReferenceSet.from_embeddings(name, sha256 or content, embeddings)
