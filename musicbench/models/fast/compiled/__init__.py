"""Functions that numba compiles by LLVM, so that no C compiler is needed.

They have no types in their signatures: numba finds them at the first call, in seconds, and keeps the machine code in
``__pycache__``.
"""
