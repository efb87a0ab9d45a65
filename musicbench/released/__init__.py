"""Released checkpoints there and back."""

from musicbench.released.description import Released
from musicbench.released.export import export
from musicbench.released.load import Loaded, fill, load
from musicbench.released.source import open_source as open
from musicbench.released.surroundings import Surroundings

__all__ = ["Loaded", "Released", "Surroundings", "export", "fill", "load", "open"]
