"""Import heavy libraries faster."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Keep the garbage collector off while torch, Lightning and transformers are imported for the first time.

    They make half a million objects that stay for good. The collector would go through them again and again, which is
    a fifth of the time of their imports, and once more in each full collection, so afterwards they are kept out of its
    sight. In a process that has torch already this does nothing: its own garbage must not be kept.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
