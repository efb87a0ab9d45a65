"""The recordings that a configuration of ``prepare`` names: the rendered corpus, real recordings, or a user's own."""

from pathlib import Path
from typing import Any

from musicbench.data.manifest import Recording, read_corpus, read_user_manifest
from musicbench.data.recordings.build import MANIFEST


def recordings(config: Any) -> list[Recording]:
    """Return the recordings; see ``read_corpus`` and ``read_user_manifest`` for errors."""
    named = manifest(config)
    return read_user_manifest(named) if named else read_corpus(Path(config.corpus.folder))


def manifest(config: Any) -> Path | None:
    """Return the user's own manifest, or the manifest that the corpus stage writes for real recordings."""
    if config.manifest:
        return Path(config.manifest)
    return Path(config.corpus.folder) / MANIFEST if "packages" in config.corpus else None
