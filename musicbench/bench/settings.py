"""Settings that all benches share, checked."""

from collections.abc import Iterable, Sequence

import torch

from musicbench.errors import UserError, did_you_mean

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def require_among(key: str, given: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return the given names.

    Raises:
        UserError: one of them is unknown, or there is none.
    """
    names = [str(name) for name in given]
    for name in names:
        if name not in known:
            raise UserError(f"{key}: unknown {name!r}, choose among {', '.join(known)}{did_you_mean(name, known)}")
    if not names:
        raise UserError(f"{key}=[] leaves nothing to measure; choose among {', '.join(known)}")
    return names


def dtype_of(name: str | None, device: torch.device) -> torch.dtype:
    """The type of weights and caches; by default that in which a device is usually asked to decode.

    Raises:
        UserError: there is no such type.
    """
    usual = "fp16" if device.type == "cuda" else "fp32"
    return DTYPES[require_among("dtype", [name or usual], list(DTYPES))[0]]


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a type in settings and tables."""
    return next(name for name, kind in DTYPES.items() if kind is dtype)


def set_threads(threads: int | None) -> None:
    """Compute with so many threads from now on; None: as many as before."""
    if threads:
        torch.set_num_threads(threads)
