"""Find a codec by name, folder or hub id, and load it as what its files say that it is."""

from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from musicbench.codec_identity import CONFIG, PACKAGE_FILE, WEIGHTS, Located, located
from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.mdct_codec import MODEL_TYPE, MdctCodec
from musicbench.codecs.package_models import load_package_model
from musicbench.codecs.stereo import StereoCodec
from musicbench.codecs.transformers_models import load_dac, load_encodec
from musicbench.errors import UserError
from musicbench.plain_files import read_json


def load_codec(name_or_folder: str = "mini", levels: int | None = None, channels: int | None = None) -> ChunkedCodec:
    """Load the bundled codec ("mini"), one from a local folder or file, or one from the model hub.

    A folder holds a codec of ours, or an EnCodec or DAC model of transformers; a file is one of the package encodec.

    Args:
        levels: so many of the first levels are used, a lower bandwidth; None: all of them.
        channels: of the audio; 2 lets a mono codec code left and right apart. None: those of the codec.

    Raises:
        UserError: there is no such folder or hub model (or no network), it is no codec known here, or it has not so
            many levels or channels.
    """
    codec = _loaded(located(name_or_folder) or _downloaded(name_or_folder))
    if levels is not None:
        codec.keep_levels(levels)
    if channels in (None, codec.channels):
        return codec
    if (channels, codec.channels) != (2, 1):
        raise UserError(
            f"codec.channels={channels} is impossible with {codec.id}, which has {codec.channels}; "
            "a mono codec takes 1 or 2, a stereo codec 2"
        )
    return StereoCodec(codec)


def _loaded(found: Located) -> ChunkedCodec:
    if PACKAGE_FILE.fullmatch(found.path.name):
        return load_package_model(found.path, found.id)
    try:
        described: Any = read_json(found.path / CONFIG)
        if not isinstance(described, dict):
            raise ValueError("no mapping")
    except ValueError as error:
        raise UserError(f"{found.path / CONFIG} is not valid JSON ({error}); download the model again") from error
    match described.get("model_type"):
        case "encodec":
            return load_encodec(found.path, found.id)
        case "dac":
            return load_dac(found.path, found.id)
        case str(name) if name == MODEL_TYPE:
            return MdctCodec.load(found.path, described, found.id)
        case other:
            raise UserError(
                f"{found.id} is a {other} model, not an EnCodec, DAC or codec of ours; try facebook/encodec_32khz"
            )


def _downloaded(name: str) -> Located:
    try:
        files = [cached_file(name, file) for file in (CONFIG, WEIGHTS)]
    except OSError as error:
        raise UserError(
            f"no codec {name}: no such folder, and the model hub did not give it (offline, or no such model); use "
            f"mini, or put {CONFIG} and {WEIGHTS} of https://huggingface.co/{name} into a folder and give "
            "codec.name_or_folder=FOLDER"
        ) from error
    return located(name) or Located(Path(str(files[0])).parent, name)
