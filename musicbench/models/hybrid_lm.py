"""One network for both ways of decoding (MAGNeT, arXiv 2401.04577, section 3.4: hybrid)."""

from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.masked.lm import MaskedLM


class HybridLM(PatternLM, MaskedLM):
    """Reads a plan's positions autoregressively, or fills in masked frames; the mode's embedding says which."""
