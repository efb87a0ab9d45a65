"""Find a codec by name, folder or hub id, and load it as what its config.json says that it is."""

from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from musicbench.codecs.chunked import CONFIG, WEIGHTS, ChunkedCodec
from musicbench.codecs.encodec import EncodecCodec
from musicbench.codecs.mdct_codec import MODEL_TYPE, MdctCodec
from musicbench.codecs.stereo import StereoCodec
from musicbench.errors import UserError
from musicbench.plain_files import read_json

MINI_FOLDER = Path(__file__).parent.parent / "assets" / "codec_mini"


def load_codec(name_or_folder: str = "mini", channels: int | None = None) -> ChunkedCodec:
    """The bundled codec ("mini"), a codec of ours or an EnCodec model from a local folder, or one from the hub.

    Args:
        channels: of the audio; 2 lets a mono codec code left and right apart. None: those of the codec.

    Raises:
        UserError: there is no such folder or hub model (or no network), it is no codec known here, or it has not so
            many channels.
    """
    codec = _loaded(name_or_folder)
    if channels in (None, codec.channels):
        return codec
    if (channels, codec.channels) != (2, 1):
        raise UserError(
            f"codec.channels={channels} is impossible with {codec.id}, which has {codec.channels}; "
            "a mono codec takes 1 or 2, a stereo codec 2"
        )
    return StereoCodec(codec)


def _loaded(name_or_folder: str) -> EncodecCodec | MdctCodec:
    folder, id = _located(name_or_folder)
    try:
        described: Any = read_json(folder / CONFIG)
        if not isinstance(described, dict):
            raise ValueError("no mapping")
    except ValueError as error:
        raise UserError(f"{folder / CONFIG} is not valid JSON ({error}); download the model again") from error
    match described.get("model_type"):
        case "encodec":
            return EncodecCodec.load(folder, id)
        case str(name) if name == MODEL_TYPE:
            return MdctCodec.load(folder, described, id)
        case other:
            raise UserError(
                f"{name_or_folder} is a {other} model, not an EnCodec codec or one of ours; try facebook/encodec_32khz"
            )


def _located(name_or_folder: str) -> tuple[Path, str]:
    """The folder of a model and its id: of a local one the folder's name, since paths differ between machines."""
    if name_or_folder == "mini":
        return MINI_FOLDER, name_or_folder
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise UserError(f"{folder} holds no {name}; give the folder of a codec")
        return folder, folder.resolve().name
    try:
        files = [cached_file(name_or_folder, name) for name in (CONFIG, WEIGHTS)]
    except OSError as error:
        raise UserError(
            f"no codec {name_or_folder}: no such folder, and the model hub did not give it "
            "(offline, or no such model); use mini, or a folder with config.json and model.safetensors"
        ) from error
    return Path(str(files[0])).parent, name_or_folder
