"""The fastest exact kernels of a CPU, for the few rows of a decoding step."""
