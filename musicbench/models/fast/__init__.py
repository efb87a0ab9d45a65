"""Faster ways to compute the same: compiled functions for the few rows of a decoding step on a CPU, graphs on a GPU."""
