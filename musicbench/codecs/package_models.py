"""Models of the package encodec, from its own files: ``encodec_24khz-d7cc33bc.th``, ``encodec_48khz-7e698e3e.th``."""

from pathlib import Path

import torch

from musicbench.codec_identity import PACKAGE_FILE, PACKAGE_URL
from musicbench.codecs.encodec import EncodecCodec
from musicbench.codecs.seanet import of_package
from musicbench.codecs.segmented import SegmentedCodec
from musicbench.codecs.transformers_models import codec_of
from musicbench.errors import UserError
from musicbench.files import sha256_file


def load_package_model(path: Path, id: str) -> EncodecCodec | SegmentedCodec:
    """The model of a file, built by the package.

    The weights are read here and not by the package, which would run whatever a file's pickle says where an environment
    asks torch for that; as there, a file's name must hold the beginning of its hash.

    Raises:
        UserError: the file is damaged, or holds something else than this model's weights.
    """
    named = PACKAGE_FILE.fullmatch(path.name)
    assert named is not None
    sha256 = sha256_file(path)
    if not sha256.startswith(named[2]):
        raise UserError(f"{path} is damaged: its hash begins with {sha256[: len(named[2])]}; {_again(path)}")
    try:
        from encodec import EncodecModel

        build = EncodecModel.encodec_model_24khz if named[1] == "24" else EncodecModel.encodec_model_48khz
        model = build(pretrained=False)
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # pickle, zip, key and shape errors all mean the same to a user
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"cannot load the codec in {path} ({reason}); {_again(path)}") from error
    return codec_of(of_package(model), id, sha256)


def _again(path: Path) -> str:
    return f"download {PACKAGE_URL}{path.name} again"
