"""Id and hash of a codec, learned from its files without loading it.

They are those of the loaded codec: ``codecs.load`` finds its files here too.
"""

import hashlib
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from musicbench.errors import UserError
from musicbench.files import known_sha256
from musicbench.plain_files import read_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # what a codec's folder holds
MINI_FOLDER = Path(__file__).parent / "assets" / "codec_mini"
PACKAGE_FILE = re.compile(r"encodec_(24|48)khz-([0-9a-f]{8,64})\.th")
"""A file of the package encodec, named by its model and the beginning of its hash."""
PACKAGE_URL = "https://dl.fbaipublicfiles.com/encodec/v0/"
STEREO = "stereo"
"""The way of a mono codec that codes left and right apart."""


def varied(id: str, sha256: str, way: str) -> tuple[str, str]:
    """Return id and hash of a codec in some way of use, such as ``stereo``: results of two ways must not be mixed."""
    return f"{id} ({way})", hashlib.sha256(f"{sha256} {way}".encode()).hexdigest()


def of_levels(levels: int) -> str:
    """Name the way of a codec that uses the first levels only."""
    return f"{levels} levels"


class Located(NamedTuple):
    """A codec's files: its folder, or its one file of the package encodec; and its id.

    A local folder's id is its name, since paths differ between machines.
    """

    path: Path
    id: str

    @property
    def weights(self) -> Path:
        """The file of the weights, whose hash is the codec's."""
        return self.path if self.path.is_file() else self.path / WEIGHTS


class Described(NamedTuple):
    """What a codec's files say of its sizes."""

    levels: int
    channels: int


class Identity(NamedTuple):
    """Id and hash of a codec."""

    id: str
    sha256: str


def located(name_or_folder: str) -> Located | None:
    """Find the files of "mini", of a local folder or file, or of a hub's model that is on this machine already.

    None: they are not on this machine; a hub may have them.

    Raises:
        UserError: it is a local folder or file, and no codec.
    """
    if name_or_folder == "mini":
        return Located(MINI_FOLDER, name_or_folder)
    path = Path(name_or_folder).expanduser()
    if path.suffix == ".th":
        return _package_file(path)
    if path.is_dir():
        files = sorted(file for file in path.glob("*.th") if PACKAGE_FILE.fullmatch(file.name))
        if len(files) == 1 and not (path / CONFIG).is_file():
            return Located(files[0], files[0].name)
        missing = [name for name in (CONFIG, WEIGHTS) if not (path / name).is_file()]
        if missing and len(files) > 1:
            raise UserError(f"{path} holds several codecs; name the file, such as {files[0]}")
        if missing:
            raise UserError(f"{path} holds no {missing[0]}; give the folder of a codec")
        return Located(path, path.resolve().name)
    return _of_hub(name_or_folder)


def identity(name_or_folder: str, levels: int | None, channels: int | None) -> Identity | None:
    """Tell id and hash of the codec that ``codecs.load_codec`` makes of the same arguments.

    None: only loading it can tell, or explain what is wrong.
    """
    found = located(name_or_folder)
    if found is None:
        return None
    same = Identity(found.id, known_sha256(found.weights))
    if levels is None and channels is None:
        return same
    own = described(found)
    if own is None or (levels is not None and (type(levels) is not int or not 0 < levels <= own.levels)):
        return None
    if levels not in (None, own.levels):
        same = Identity(*varied(*same, of_levels(levels)))
    if channels in (None, own.channels):
        return same
    return Identity(*varied(*same, STEREO)) if (channels, own.channels) == (2, 1) else None


def described(found: Located) -> Described | None:
    """Read a codec's sizes from its description; None if it is damaged or of an unknown kind."""
    if match := PACKAGE_FILE.fullmatch(found.path.name):
        return Described(32, 1) if match[1] == "24" else Described(16, 2)
    try:
        return _sizes(read_json(found.path / CONFIG))
    except (OSError, ValueError, TypeError, AttributeError, KeyError, ArithmeticError):
        return None


def _sizes(config: Any) -> Described | None:
    """Compute sizes as the libraries do from their configurations."""
    match config["model_type"]:
        case "encodec":
            hop = math.prod(config.get("upsampling_ratios", (8, 5, 4, 2)))
            frame_rate = math.ceil(config.get("sampling_rate", 24_000) / hop)
            bits = math.ceil(math.log2(config.get("codebook_size", 1024)))
            bandwidth = config.get("target_bandwidths", (24.0,))[-1]
            return Described(int(1000 * bandwidth // (frame_rate * bits)), int(config.get("audio_channels", 1)))
        case "dac":
            return Described(int(config.get("n_codebooks", 9)), 1)
        case "musicbench_mdct":
            return Described(int(config["levels"]), 1)
    return None


def _package_file(path: Path) -> Located:
    if not PACKAGE_FILE.fullmatch(path.name):
        raise UserError(f"{path} is no file of the package encodec, such as encodec_24khz-d7cc33bc.th; name it so")
    if not path.is_file():
        raise UserError(f"no {path}; download {PACKAGE_URL}{path.name} to there, or give codec.name_or_folder=FILE")
    return Located(path, path.name)


def _of_hub(name: str) -> Located | None:
    """The files of a hub's model in the cache of this machine."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return None
    from huggingface_hub import try_to_load_from_cache

    config, weights = (try_to_load_from_cache(name, file) for file in (CONFIG, WEIGHTS))
    return Located(Path(config).parent, name) if isinstance(config, str) and isinstance(weights, str) else None
