"""Which kernels compute: the fastest exact ones that this machine has, or torch's own.

Both compute the same numbers up to rounding in fp32. The choice changes speed alone, so no run id follows from it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Kernels = Literal["auto", "plain"]

_chosen: Kernels = "auto"


def choose(kernels: Kernels) -> None:
    """Choose for this process.

    Raises:
        ValueError: there is no such choice.
    """
    if kernels not in get_args(Kernels):
        raise ValueError(f"kernels must be one of {', '.join(get_args(Kernels))}; got {kernels!r}")
    global _chosen
    _chosen = kernels


def fast() -> bool:
    """Whether kernels other than torch's own may be used."""
    return _chosen == "auto"


@contextmanager
def using(kernels: Kernels) -> Iterator[None]:
    """Choose for a while."""
    before = _chosen
    choose(kernels)
    try:
        yield
    finally:
        choose(before)
