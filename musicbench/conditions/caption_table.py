"""Caption states, computed once per encoder and set of captions and kept in a folder, or computed when asked for.

Shape suffixes: B batch, E width of caption states, L tokens of a caption, S states of all captions.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from musicbench.conditions.captions import encoded, require_read, say_cut
from musicbench.conditions.text import TextEncoder
from musicbench.content_cache import ContentCache


class CaptionTable:
    """States of known captions, and those of new ones by the encoder.

    Attributes:
        states_SE: all states one after the other, fp16.
        bounds: caption -> (first row, end row).
    """

    def __init__(self, captions: list[str], lengths: list[int], states_SE: Tensor, encoder: TextEncoder) -> None:
        ends = torch.tensor([0, *lengths]).cumsum(0).tolist()
        self.states_SE = states_SE
        self.bounds = dict(zip(captions, pairwise(ends), strict=True))
        self.encoder = encoder

    @property
    def dim(self) -> int:
        """Width E of the states."""
        return self.states_SE.shape[1]

    def batch(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Padded states fp32 [B, L, E], rounded to fp16, and their mask bool [B, L].

        New captions are encoded together and not kept: what a batch is told follows from its captions alone, so that a
        training that goes on is told the same.
        """
        new = sorted({caption for caption in captions if caption not in self.bounds})
        fresh = dict(zip(new, encoded(self.encoder, new), strict=True))
        rows = [
            self.states_SE[slice(*self.bounds[caption])] if caption in self.bounds else fresh[caption].half()
            for caption in captions
        ]
        return pad_states([row.float() for row in rows])


def pad_states(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Padded states [B, L, E] and their mask bool [B, L] from states [L, E] of each caption; L is at least 1."""
    lengths = torch.tensor([len(row) for row in rows])
    states_BLE = pad_sequence(rows, batch_first=True)
    if not lengths.any():
        states_BLE = states_BLE.new_zeros(len(rows), 1, states_BLE.shape[2])
    return states_BLE, torch.arange(states_BLE.shape[1]) < lengths[:, None]


def caption_states(encoder: TextEncoder, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Padded states and mask of any captions; an empty caption has no states, which a model reads as no caption.

    Raises:
        UserError: the model was trained without text, and there is a caption.
    """
    require_read(encoder, captions)
    say_cut(encoder, captions)
    return pad_states(encoded(encoder, captions))


def caption_table(captions: Iterable[str], encoder: TextEncoder, cache: Path | str) -> CaptionTable:
    """The states of all captions, from the cache folder if they are there, else computed and kept."""
    ordered = sorted(set(captions))
    say_cut(encoder, ordered)

    def made() -> dict[str, np.ndarray]:
        states = encoded(encoder, ordered)
        return {"lengths": np.array([len(s) for s in states]), "states": torch.cat(states).half().numpy()}

    kept = ContentCache(cache, "lengths", "states").get(made, encoder.sha256, *ordered)
    return CaptionTable(ordered, kept["lengths"].tolist(), torch.from_numpy(kept["states"]), encoder)


def empty_table(captions: Iterable[str], encoder: TextEncoder) -> CaptionTable:
    """A table that knows no caption, so that each is encoded when a batch has it; ``captions`` are those to come."""
    say_cut(encoder, sorted(set(captions)))
    return CaptionTable([], [], torch.zeros(0, encoder.dim).half(), encoder)
