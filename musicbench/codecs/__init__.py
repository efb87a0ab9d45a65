"""Audio to codes and back: EnCodec through transformers, the bundled mini codec and its training."""

from musicbench.codecs.base import Codec
from musicbench.codecs.encodec import EncodecCodec
from musicbench.codecs.load import load_codec
from musicbench.codecs.mdct_codec import MdctCodec
from musicbench.codecs.stereo import StereoCodec

__all__ = ["Codec", "EncodecCodec", "MdctCodec", "StereoCodec", "load_codec"]
