"""Find which run a configuration describes, from files alone."""

from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from musicbench.runs import settings
from musicbench.runs.contents import Contents
from musicbench.runs.folder import read_training_id, run_folder
from musicbench.runs.identity import former_training_id, run_id, training_id
from musicbench.runs.start import start_sha256


class NamedRun:
    """A configuration with the ids and the folder of its run.

    Args:
        contents: of the configuration, or of another configuration with the same parts; None: they are hashed here.
    """

    def __init__(self, config: DictConfig, contents: Contents | None = None) -> None:
        self.config = config
        self.contents = Contents(config) if contents is None else contents

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The configuration as plain containers, with the rescorer's folder by its name and the hash of its start."""
        content = settings.plain(self.config)
        content["training"]["start_sha256"] = start_sha256(self.config)
        return content

    @cached_property
    def rescorer_folder(self) -> Path | None:
        """See ``settings.rescorer_folder``."""
        return settings.rescorer_folder(self.config)

    @cached_property
    def id(self) -> str:
        """Eight hex digits of everything that changes the run's numbers."""
        found = self.contents
        # The user's own files come first: their errors show at once, and hashing them shows progress.
        contents = found.own_files | found.trained_on | found.tokens | found.judged_by
        if self.rescorer_folder is not None:
            contents["rescorer"] = read_training_id(self.rescorer_folder)
        return run_id(self.precise, contents)

    @cached_property
    def training_id(self) -> str:
        """The id that runs share when they differ in nothing but decoding and evaluation."""
        return training_id(self.precise, self.contents.trained_on)

    @cached_property
    def training_ids(self) -> frozenset[str]:
        """Training ids that weights of this configuration may have, whatever machine they were made on.

        ``trainer.precision=auto`` is another precision elsewhere.
        """
        auto = self.config.trainer.precision == "auto"
        wanted = settings.PRECISIONS if auto else (settings.precision(self.config),)
        configs = [settings.in_precision(self.plain, name) for name in wanted]
        made = self.contents.trained_on
        return frozenset(identify(config, made) for config in configs for identify in (training_id, former_training_id))

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return run_folder(self.plain, self.id)

    @property
    def precise(self) -> dict[str, Any]:
        """The configuration with the precision that "auto" means here, which changes numbers."""
        return settings.in_precision(self.plain, settings.precision(self.config))
