"""What compiled functions need of the machine: memory by address, bits of a number, and a cache of machine code."""

import hashlib
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import caching, cgutils
from numba.extending import intrinsic

SUMS = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be reordered, which vector registers need; infinities and nan stay what they are."""


@intrinsic
def _pointer(typing_context, address):
    """A number as the address of memory."""

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), code


@njit(inline="always")
def array_at(address, shape):
    """The fp32 array that lies at an address, without a copy."""
    return carray(_pointer(address), shape, np.float32)


@intrinsic
def float_of_bits(typing_context, bits):
    """The fp32 number that has these 32 bits."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), code


@intrinsic
def fetch(typing_context, address):
    """Ask for the line of memory at an address, because it is read soon."""

    def code(context, builder, signature, arguments):
        number = ir.IntType(32)
        kinds = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kinds, "llvm.prefetch.p0")
        to_read, into_first_cache, data = (ir.Constant(number, value) for value in (0, 3, 1))
        pointer = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        builder.call(function, [pointer, to_read, into_first_cache, data])
        return context.get_dummy_value()

    return types.void(address), code


class _StampOfFolder:
    """Machine code is stale when any file of this folder changes; numba itself looks at a function's own file only."""

    def get_source_stamp(self):
        sources = sorted(Path(__file__).parent.glob("*.py"))
        return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


class BesideSource(_StampOfFolder, caching.InTreeCacheLocator):
    """Machine code in ``__pycache__``."""


class OfUser(_StampOfFolder, caching.UserWideCacheLocator):
    """Machine code in the user's cache folder, where the package cannot be written."""


def compiled(function):
    """Decorate a function that Python calls: it may use several threads, and its machine code is kept on the disk."""
    before = numba.config.CACHE_LOCATOR_CLASSES
    numba.config.CACHE_LOCATOR_CLASSES = ",".join(f"{__name__}.{place.__name__}" for place in (BesideSource, OfUser))
    try:
        return njit(parallel=True, cache=True, nogil=True, error_model="numpy")(function)
    finally:
        numba.config.CACHE_LOCATOR_CLASSES = before
