"""A run: a configuration with its parts, its jury, its ids and its folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from musicbench.files import sha256_file
from musicbench.runs import settings
from musicbench.runs.device import device
from musicbench.runs.folder import BEST, read_training_id, run_folder
from musicbench.runs.identity import row_label, run_id, training_id
from musicbench.runs.jury import Jury
from musicbench.runs.network import build_model
from musicbench.runs.parts import Parts


@dataclass(frozen=True)
class Run:
    """What sessions, sweeps and commands hold; functions below them take what they use of it."""

    config: DictConfig

    @cached_property
    def parts(self) -> Parts:
        """Data, codec and text encoder."""
        return Parts(self.config)

    @cached_property
    def jury(self) -> Jury:
        """Judges and what they compare clips with."""
        return Jury(self.config, self.parts)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The configuration as plain containers, with the rescorer's folder by its name."""
        return settings.plain(self.config)

    @cached_property
    def rescorer_folder(self) -> Path | None:
        """See ``settings.rescorer_folder``."""
        return settings.rescorer_folder(self.config)

    @cached_property
    def id(self) -> str:
        """Eight hex digits of everything that changes the run's numbers."""
        contents = self.jury.own_files  # first: they say at once what is wrong with them, and show how far they are
        contents |= self.parts.contents | self.jury.contents
        if self.rescorer_folder is not None:
            contents["rescorer"] = read_training_id(self.rescorer_folder)
        return run_id(self._precise, contents)

    @cached_property
    def training_id(self) -> str:
        """What runs have in common that differ in nothing but decoding and evaluation."""
        return training_id(self._precise, self.parts.contents)

    @cached_property
    def training_ids(self) -> frozenset[str]:
        """Training ids that weights of this configuration may have, whatever machine they were made on.

        ``trainer.precision=auto`` is another precision elsewhere.
        """
        if self.config.trainer.precision != "auto":
            return frozenset({self.training_id})
        each = (settings.in_precision(self.plain, name) for name in settings.PRECISIONS)
        return frozenset(training_id(plain, self.parts.contents) for plain in each)

    def generation_id(self, folder: Path) -> str:
        """What evaluations have in common whose held-out clips have the same codes: they differ in judges alone.

        Args:
            folder: of the run, whose weights count by content, as do the rescorer's.
        """
        clips = {key: self.plain["evaluation"][key] for key in ("split", "seconds", "per_piece")}
        contents = self.parts.contents | {"device": device().type}
        for name, place in (("weights", folder), ("rescorer", self.rescorer_folder)):
            if place is not None and (place / BEST).is_file():
                contents[name] = sha256_file(place / BEST)
        return run_id({**self._precise, "evaluation": clips}, contents)

    @property
    def folder(self) -> Path:
        """Run folder."""
        return run_folder(self.plain, self.id)

    @property
    def facts(self) -> dict[str, Any]:
        """What the metadata of its audio say of it."""
        return {"run": self.id, "row": row_label(self.plain), "seed": self.config.seed}

    def model(self) -> Any:
        """The LightningModule, freshly initialised from the seed."""
        # What a codec draws while it loads comes before the seed is set, so that weights do not depend on it.
        return build_model(self.config, self.parts.sizes, self.parts.codebooks_KVC)

    @property
    def _precise(self) -> dict[str, Any]:
        # The precision that "auto" means here changes numbers; where the run is computed does not.
        return settings.in_precision(self.plain, settings.precision(self.config))
