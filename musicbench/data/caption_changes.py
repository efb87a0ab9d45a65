"""What MusicGen's training does to captions: tags are merged in, descriptions are dropped, words are left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicbench.errors import UserError

TAGS = (
    "key", "bpm", "genre", "moods", "instrument", "keywords",  # MusicGen's
    "tempo", "metre", "dynamics", "register", "instruments", "form", "tradition",  # the embedded corpus has these too
)  # fmt: skip
"""Attributes of a clip that are merged into captions where a configuration names none."""


@dataclass(frozen=True)
class CaptionChanges:
    """How captions of training crops are changed; all probabilities are drawn for each crop.

    MusicGen merges with .25, then drops descriptions with .5, and leaves out words with .3; its released code drops
    each tag with .5.

    Attributes:
        tag_merging: probability that a clip's tags are joined to its caption: "caption. key: C major. bpm: 90".
        description_dropout: probability that merged tags stand alone, without the caption.
        tag_dropout: probability with which each of the merged tags is left out.
        word_dropout: probability with which each word is left out of what has become of the caption.
        tags: names of the attributes that are merged.
    """

    tag_merging: float = 0.0
    description_dropout: float = 0.0
    tag_dropout: float = 0.0
    word_dropout: float = 0.0
    tags: tuple[str, ...] = TAGS

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "CaptionChanges":
        """Read them from a configuration's ``data``, where null or a missing key stands for no change.

        Raises:
            UserError: a setting has no effect without another one, or the names of tags are none.
        """
        given: dict[str, Any] = {name: settings.get(name) for name in cls.__dataclass_fields__}
        given = {name: value for name, value in given.items() if value is not None}
        alone = [name for name in ("description_dropout", "tag_dropout", "tags") if name in given]
        if alone and not given.get("tag_merging"):
            raise UserError(f"data.{alone[0]} changes nothing without data.tag_merging; set that too, or leave it out")
        if "tags" in given:
            given["tags"] = tuple(given["tags"])
            if not given["tags"] or not all(isinstance(name, str) for name in given["tags"]):
                raise UserError("data.tags must be names of attributes, such as [key,bpm]")
        return cls(**given)

    def __bool__(self) -> bool:
        """Whether any caption may change."""
        return self.tag_merging > 0 or self.word_dropout > 0

    def require_tags(self, attributes: Iterable[Mapping[str, Any]]) -> None:
        """Refuse to merge tags where no clip has any.

        Raises:
            UserError: no clip has one of the attributes.
        """
        if self.tag_merging > 0 and not any(self._texts(of_clip) for of_clip in attributes):
            raise UserError(
                f"data.tag_merging={self.tag_merging:g}, but no training clip has one of the attributes "
                f"{', '.join(self.tags)}; name others with data.tags=[...], or give the manifest's lines attributes"
            )

    def changed(self, caption: str, attributes: Mapping[str, Any], random: np.random.Generator) -> str:
        """Return a caption as this crop is told it; an empty one stands for no caption.

        Args:
            attributes: of the clip, such as {"key": "C major", "instruments": ["flute", "harp"]}.
            random: the crop's own stream.
        """
        if random.random() < self.tag_merging:
            texts = [text for text in self._texts(attributes) if random.random() >= self.tag_dropout]
            texts = [texts[place] for place in random.permutation(len(texts))]
            described = [] if random.random() < self.description_dropout else [caption.strip().rstrip(".")]
            caption = ". ".join(part for part in (*described, *texts) if part)
        if self.word_dropout > 0:
            # A language that puts no blanks between its words loses the whole caption at once.
            caption = " ".join(word for word in caption.split() if random.random() >= self.word_dropout)
        return caption

    def _texts(self, attributes: Mapping[str, Any]) -> list[str]:
        """Return "name: value" of each tag that a clip has."""
        values = {name: _text(attributes.get(name)) for name in self.tags}
        return [f"{name}: {value}" for name, value in values.items() if value]


UNCHANGED = CaptionChanges()
"""Captions as they are."""


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(text for item in value if not isinstance(item, list) and (text := _text(item)))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()
