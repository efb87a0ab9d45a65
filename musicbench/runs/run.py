"""A run: a configuration with its ids, its parts and its jury."""

from functools import cached_property
from pathlib import Path
from typing import Any

from musicbench.files import sha256_file
from musicbench.models.valueless import without_values
from musicbench.runs.device import device
from musicbench.runs.folder import BEST
from musicbench.runs.identity import row_label, run_id
from musicbench.runs.ids import NamedRun
from musicbench.runs.jury import Jury
from musicbench.runs.network import build_model
from musicbench.runs.parts import Parts


class Run(NamedRun):
    """A run as sessions, sweeps and commands hold it; functions below them take only the parts that they use."""

    @cached_property
    def parts(self) -> Parts:
        """Data, codec and text encoder."""
        return Parts(self.config, self.contents)

    @cached_property
    def jury(self) -> Jury:
        """Judges and the references with which they compare clips."""
        return Jury(self.config, self.parts, self.contents)

    def generation_id(self, folder: Path) -> str:
        """Return an id that evaluations share when their held-out clips have the same codes, whoever judges them.

        Args:
            folder: the run's folder; its weights and the rescorer's count by content.
        """
        clips = {key: self.plain["evaluation"][key] for key in ("split", "seconds", "per_piece", "melody")}
        contents = self.contents.trained_on | self.contents.tokens | {"device": device().type}
        for name, place in (("weights", folder), ("rescorer", self.rescorer_folder)):
            if place is not None and (place / BEST).is_file():
                contents[name] = sha256_file(place / BEST)
        return run_id({**self.precise, "evaluation": clips}, contents)

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of the run for the metadata of its audio."""
        return {"run": self.id, "row": row_label(self.plain), "seed": self.config.seed}

    def model(self) -> Any:
        """Build the LightningModule, freshly initialised from the seed."""
        # A codec may draw random numbers while it loads, so it is loaded before the seed is set.
        return build_model(self.config, self.parts.sizes, self.parts.codebooks_KVC)

    def unread_model(self) -> Any:
        """Build the LightningModule for weights that are to be read; its parameters have no memory yet."""
        sizes = self.parts.sizes
        with without_values():
            return build_model(self.config, sizes)
