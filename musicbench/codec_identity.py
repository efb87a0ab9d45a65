"""Id and hash of a codec that is used in another way than its files say, found without loading it."""

import hashlib


def varied(id: str, sha256: str, way: str) -> tuple[str, str]:
    """Return id and hash of a codec in some way of use, such as ``stereo``: results of two ways must not be mixed."""
    return f"{id} ({way})", hashlib.sha256(f"{sha256} {way}".encode()).hexdigest()


STEREO = "stereo"
"""The way of a mono codec that codes left and right apart."""
