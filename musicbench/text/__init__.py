"""Captions to token states of a frozen text encoder."""
