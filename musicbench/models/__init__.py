"""Plain modules: the transformer backbone, its key/value cache, guidance and sampling.

Shape suffixes: B batch, P positions, Q positions of one step, K levels, T frames, V codebook size, D width,
H heads, E width of text states, L length of a caption, S cache slots.
"""
