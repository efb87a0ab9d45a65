"""Find the originals of a token store as files, without judging them."""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig

from musicbench.data.audio_folder import Listing, folder_sha256
from musicbench.data.crops import Crop, evaluation_crops
from musicbench.data.hashing import ContentHashes
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import Known
from musicbench.evaluation.references.reference import Reference


class OriginalFiles:
    """Originals by the file that came with their token store, or by their audio.

    Args:
        store: the token store of the clips.
        stored: a judge's earlier outputs for the originals, kept beside the store.
        settings: the configuration's ``evaluation``.
        hashes: cache of the hashes of recordings that were read.
    """

    def __init__(self, store: TokenStore, stored: Reference, settings: DictConfig, hashes: ContentHashes) -> None:
        self.store, self.stored, self.settings, self.hashes = store, stored, settings, hashes
        self.folder = Path(settings.originals)

    @cached_property
    def crops(self) -> list[Crop]:
        """The held-out crops."""
        return evaluation_crops(self.store, self.settings.split, self.settings.seconds, self.settings.per_piece)

    def reference_sha256(self, judge: Known) -> str:
        """Return the hash of the reference of FAD.

        Raises:
            UserError: it does not exist.
        """
        wanted = self.settings.reference
        if wanted == "fma_pop":
            from musicbench.evaluation.references.sets import fma_pop  # Imported late, because torch is heavy.

            return fma_pop(judge, None if self.settings.fadtk is None else Path(self.settings.fadtk)).sha256
        if wanted != "originals":
            return folder_sha256(self.listing.files, self.hashes)
        if self.stored.made_by(judge):
            return str(self.stored.sha256)
        return self._files_sha256(clip.id for clip in self.store.split("train"))

    def crops_sha256(self, judges: Iterable[Known]) -> str:
        """Return the hash of the held-out crops' originals: of a judge's stored outputs, or of the recordings' files.

        Raises:
            UserError: a judge has not heard them, and their audio does not exist.
        """
        if all(self.stored.made_by(judge) for judge in judges):
            return str(self.stored.sha256)
        return self._files_sha256(sorted({crop.clip for crop in self.crops}))

    @cached_property
    def listing(self) -> Listing:
        """List the files of ``evaluation.reference=FOLDER``."""
        return Listing.of(Path(self.settings.reference))

    def path(self, clip: str) -> Path:
        """A clip's recording.

        Raises:
            UserError: it does not exist.
        """
        path = find_original(self.folder, clip)
        if path is None:
            raise UserError(
                f"these judges have not heard the originals, and {self.folder} has no audio of {clip}; name the folder "
                "of the recordings with evaluation.originals (`musicbench prepare` makes runs/corpus/audio)"
            )
        return path

    def _files_sha256(self, clips: Iterable[str]) -> str:
        found = self.hashes.of([self.path(clip) for clip in clips])
        return hashlib.sha256("".join(found).encode()).hexdigest()


def find_original(originals: Path, clip: str) -> Path | None:
    """Find a clip's recording, named by clip id: in a corpus with ``.flac`` at the end, in a manifest without."""
    return next((path for path in (originals / f"{clip}.flac", originals / clip) if path.is_file()), None)
