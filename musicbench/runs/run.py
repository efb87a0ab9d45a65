"""A run: a configuration with its ids, its parts and its jury."""

from functools import cached_property
from pathlib import Path
from typing import Any

from musicbench.files import sha256_file
from musicbench.runs.device import device
from musicbench.runs.folder import BEST
from musicbench.runs.identity import row_label, run_id
from musicbench.runs.ids import NamedRun
from musicbench.runs.jury import Jury
from musicbench.runs.network import build_model
from musicbench.runs.parts import Parts


class Run(NamedRun):
    """What sessions, sweeps and commands hold; functions below them take what they use of it."""

    @cached_property
    def parts(self) -> Parts:
        """Data, codec and text encoder."""
        return Parts(self.config, self.contents)

    @cached_property
    def jury(self) -> Jury:
        """Judges and what they compare clips with."""
        return Jury(self.config, self.parts, self.contents)

    def generation_id(self, folder: Path) -> str:
        """What evaluations have in common whose held-out clips have the same codes: they differ in judges alone.

        Args:
            folder: of the run, whose weights count by content, as do the rescorer's.
        """
        clips = {key: self.plain["evaluation"][key] for key in ("split", "seconds", "per_piece")}
        contents = self.contents.trained_on | {"device": device().type}
        for name, place in (("weights", folder), ("rescorer", self.rescorer_folder)):
            if place is not None and (place / BEST).is_file():
                contents[name] = sha256_file(place / BEST)
        return run_id({**self.precise, "evaluation": clips}, contents)

    @property
    def facts(self) -> dict[str, Any]:
        """What the metadata of its audio say of it."""
        return {"run": self.id, "row": row_label(self.plain), "seed": self.config.seed}

    def model(self) -> Any:
        """The LightningModule, freshly initialised from the seed."""
        # What a codec draws while it loads comes before the seed is set, so that weights do not depend on it.
        return build_model(self.config, self.parts.sizes, self.parts.codebooks_KVC)
