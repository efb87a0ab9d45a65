"""Released checkpoints there and back."""

from musicbench.released.description import Released
from musicbench.released.load import Loaded, load
from musicbench.released.source import open_source as open

__all__ = ["Loaded", "Released", "load", "open"]
