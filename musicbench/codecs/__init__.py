"""Audio to codes and back: EnCodec and DAC of other libraries, the bundled mini codec and its training."""

from musicbench.codecs.base import Codec
from musicbench.codecs.dac import DacCodec
from musicbench.codecs.encodec import EncodecCodec
from musicbench.codecs.load import load_codec
from musicbench.codecs.mdct_codec import MdctCodec
from musicbench.codecs.segmented import SegmentedCodec
from musicbench.codecs.stereo import StereoCodec

__all__ = ["Codec", "DacCodec", "EncodecCodec", "MdctCodec", "SegmentedCodec", "StereoCodec", "load_codec"]
