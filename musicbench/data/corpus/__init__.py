"""The embedded corpus: public-domain scores, re-orchestrated, rendered and captioned by construction."""
