"""The parts that training needs of a configuration: data, codec, text encoder and caption states."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor

from musicbench.codecs.chunked import ChunkedCodec
from musicbench.conditions.caption_table import CaptionTable, caption_states, caption_table
from musicbench.data.crops import Crop
from musicbench.data.store import TokenStore
from musicbench.models.conditions import Conditions
from musicbench.runs.compose import instantiated
from musicbench.runs.contents import Contents, require_codec
from musicbench.runs.device import device
from musicbench.runs.network import Sizes


class Parts:
    """The parts of a configuration; each is made when it is first read.

    Args:
        contents: hashes of the same parts, with the token store open.
        like: the parts of another configuration with the same codec and text encoder, which are then taken from there;
            None: they are made.
    """

    def __init__(self, config: DictConfig, contents: Contents, like: "Parts | None" = None) -> None:
        self.config, self.contents, self.like = config, contents, like
        self.cache = Path(config.cache)

    @property
    def store(self) -> TokenStore:
        """The token store; its codec must be the configured one."""
        return self.contents.store

    @cached_property
    def codec(self) -> ChunkedCodec:
        """The codec, which must be the codec of the token store."""
        if self.like is not None:
            return self.like.codec
        codec: ChunkedCodec = instantiated("codec", self.config.codec)
        require_codec(self.store, codec)
        return codec.to(device())

    @cached_property
    def encoder(self) -> Any:
        """The frozen text encoder."""
        return self.like.encoder if self.like is not None else instantiated("text", self.config.text, device=device())

    @cached_property
    def captions(self) -> CaptionTable:
        """States of all captions of the store, computed once and cached."""
        texts = [caption for clip in self.store.clips for caption in clip.captions]
        return caption_table(texts, self.encoder, self.cache / "text")

    def load_conditions(self) -> None:
        """Make the states of all captions now."""
        self.captions  # noqa: B018

    def known(self, captions: Sequence[str]) -> Conditions:
        """Conditions of clips with captions of the store."""
        return Conditions.of_text(*self.captions.batch(list(captions)))

    def told(self, captions: Sequence[str]) -> Conditions:
        """Conditions of clips with any captions; an empty caption has no states, which a model reads as none."""
        return Conditions.of_text(*caption_states(self.encoder, captions))

    def of_crops(self, crops: Sequence[Crop]) -> Conditions:
        """Conditions of crops of the store."""
        return self.known([crop.caption for crop in crops])

    @property
    def sizes(self) -> Sizes:
        """Sizes of data and captions that a network needs."""
        return Sizes(self.store.levels, self.store.codebook_size, self.encoder.dim, self.store.frame_rate)

    @property
    def codebooks_KVC(self) -> Tensor | None:
        """The codec's code vectors, if the network is to start from them."""
        return self.codec.codebooks_KVC if self.config.model.from_codebooks else None
