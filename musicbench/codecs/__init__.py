"""Audio to codes and back: EnCodec through transformers, the bundled mini codec and its training."""

from musicbench.codecs.base import Codec
from musicbench.codecs.encodec import EncodecCodec, load_codec

__all__ = ["Codec", "EncodecCodec", "load_codec"]
