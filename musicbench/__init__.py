"""musicbench: ablations of text-to-music token models."""

__version__ = "0.1.0"
