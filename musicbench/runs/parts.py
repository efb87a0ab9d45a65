"""The parts that training needs of a configuration: data, codec, text encoder and caption states."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from musicbench.codecs.chunked import ChunkedCodec
from musicbench.conditions.caption_table import CaptionTable, caption_states, caption_table, empty_table, pad_states
from musicbench.conditions.melody import CLASSES, MOMENTS_PER_SECOND, MUSICGEN_MOMENTS
from musicbench.conditions.text_facts import NO_TEXT
from musicbench.data.caption_changes import CaptionChanges
from musicbench.data.crops import Crop
from musicbench.data.melodies import Melodies
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.models.conditions import MELODY, Conditions
from musicbench.models.prefix import Prefix
from musicbench.runs.compose import instantiated
from musicbench.runs.contents import Contents, require_codec
from musicbench.runs.device import device
from musicbench.runs.melody_conditions import with_melodies
from musicbench.runs.network import Sizes
from musicbench.runs.settings import text_part


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

    @property
    def codes(self) -> TokenStore | ChunkedCodec:
        """What knows the numbers and the rate of codes: the token store, or the codec of a run that has no store."""
        return self.codec if self.config.data.store is None else self.store

    @cached_property
    def codec(self) -> ChunkedCodec:
        """The codec, which must be the codec of the token store."""
        if self.like is not None:
            return self.like.codec
        codec: ChunkedCodec = instantiated("codec", self.config.codec)
        if self.config.data.store is not None:
            require_codec(self.store, codec)
        return codec.to(device())

    @cached_property
    def encoder(self) -> Any:
        """The frozen text encoder."""
        return (
            self.like.encoder
            if self.like is not None
            else instantiated("text", text_part(self.config), device=device())
        )

    @cached_property
    def captions(self) -> CaptionTable:
        """States of all captions of the store, computed once and cached, unless they are encoded batch by batch."""
        texts = [caption for clip in self.store.clips for caption in clip.captions]
        if self.config.data.get("caption_states") == "batch":
            return empty_table(texts, self.encoder)
        return caption_table(texts, self.encoder, self.cache / "text")

    @cached_property
    def melodies(self) -> Melodies | None:
        """Melodies of the store's clips; None if models are told none.

        Raises:
            UserError: a setting has no effect.
        """
        if self.config.data.melody is not None:
            return self.contents.melodies
        for name in ("melody_dropout", "text_dropout"):
            if self.config.training[name] is not None:
                raise UserError(f"training.{name} changes nothing without data.melody; set that too, or leave it out")
        return None

    def load_conditions(self) -> None:
        """Make the states of all captions, and read the melodies, now."""
        _ = self.captions, self.melodies

    def known(self, captions: Sequence[str], melodies: Sequence[np.ndarray | None] | None = None) -> Conditions:
        """Conditions of clips with captions of the store, and with melodies [M] of any length if there are any."""
        return with_melodies(Conditions.of_text(*self.captions.batch(list(captions))), melodies)

    def told(self, captions: Sequence[str], melodies: Sequence[np.ndarray | None] | None = None) -> Conditions:
        """Conditions of clips with any captions; an empty caption has no states, which a model reads as none."""
        return with_melodies(Conditions.of_text(*caption_states(self.encoder, captions)), melodies)

    def of_crops(self, crops: Sequence[Crop]) -> Conditions:
        """Conditions of crops of the store by their captions."""
        return with_melodies(self.known([crop.caption for crop in crops]), self._melodies(crops))

    def of_training_crops(self, crops: Sequence[Crop]) -> Conditions:
        """Conditions of crops in training: of some encoders by what is heard in them."""
        if not self.hears:
            return self.of_crops(crops)
        rate = self.store.frame_rate
        spans = [(crop.clip, crop.start_frame / rate, crop.frames / rate) for crop in crops]
        return with_melodies(Conditions.of_text(*pad_states(self.encoder.encode_crops(spans))), self._melodies(crops))

    def _melodies(self, crops: Sequence[Crop]) -> list[np.ndarray] | None:
        return None if self.melodies is None else [self.melodies.of(crop) for crop in crops]

    @property
    def hears(self) -> bool:
        """Whether a training is told what the encoder hears in a crop, instead of its caption."""
        return getattr(self.encoder, "hears_crops", False)

    @cached_property
    def caption_changes(self) -> CaptionChanges:
        """What becomes of the captions of training crops.

        Raises:
            UserError: a setting has no effect.
        """
        settings = self.config.data
        changes = CaptionChanges.of(settings)
        if changes and (self.hears or self.encoder.sha256 == NO_TEXT):
            raise UserError(
                "this training reads no captions, so that data.tag_merging and data.word_dropout change nothing; leave "
                "them out"
            )
        if (changes or settings.get("caption_states")) and settings.workers and device().type == "cuda":
            raise UserError(
                "captions are encoded on the GPU while training, which workers cannot do; set data.workers=0"
            )
        return changes

    @cached_property
    def melody_prefix(self) -> Prefix | None:
        """How models are told melodies, by the store's or by those of a user's recordings; None: they are told none."""
        kind = self.config.data.melody
        if kind is not None and self.config.data.store is None:
            per_frame = MOMENTS_PER_SECOND / self.codes.frame_rate
        elif self.melodies is not None:
            per_frame = self.melodies.per_frame
        else:
            return None
        return Prefix(CLASSES, per_frame, MUSICGEN_MOMENTS if kind == "musicgen" else None)

    @property
    def sizes(self) -> Sizes:
        """Sizes of data and captions that a network needs."""
        melody = self.melody_prefix
        sizes = self.codes.levels, self.codes.codebook_size, self.encoder.dim, self.codes.frame_rate
        return Sizes(*sizes, {} if melody is None else {MELODY: melody})

    @property
    def codebooks_KVC(self) -> Tensor | None:
        """The codec's code vectors, if the network is to start from them."""
        return self.codec.codebooks_KVC if self.config.model.from_codebooks else None
