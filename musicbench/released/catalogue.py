"""The checkpoints that the authors of MusicGen and MAGNeT released, by name."""

from dataclasses import dataclass
from typing import Literal

from musicbench.errors import UserError, did_you_mean

Format = Literal["transformers", "audiocraft"]

OWNER = "facebook"
T5 = "google-t5/t5-base"
"""The text encoder of all of them; files of audiocraft name it and do not hold it."""


@dataclass(frozen=True)
class Entry:
    """A released checkpoint.

    Attributes:
        name: without its owner.
        formats: in which its owner has it on the model hub; the preferred one first.
    """

    name: str
    formats: tuple[Format, ...]

    @property
    def hub(self) -> str:
        """Name on the model hub."""
        return f"{OWNER}/{self.name}"


_MUSICGEN = (
    "musicgen-small",
    "musicgen-medium",
    "musicgen-large",
    "musicgen-melody",
    "musicgen-melody-large",
    "musicgen-stereo-small",
    "musicgen-stereo-medium",
    "musicgen-stereo-large",
    "musicgen-stereo-melody",
    "musicgen-stereo-melody-large",
)
_MAGNET = ("magnet-small-10secs", "magnet-medium-10secs", "magnet-small-30secs", "magnet-medium-30secs")

CATALOGUE = (
    *(Entry(name, ("transformers", "audiocraft")) for name in _MUSICGEN),
    *(Entry(name, ("audiocraft",)) for name in _MAGNET),
)
"""arXiv 2306.05284 and 2401.04577, with music only: audiocraft's sound effects are none of our rows."""


def entry_of(name: str) -> Entry:
    """Return the checkpoint of a name, with its owner or without.

    Raises:
        UserError: there is none.
    """
    known = {entry.name: entry for entry in CATALOGUE}
    short = name.removeprefix(f"{OWNER}/")
    if short not in known:
        raise UserError(f"no released model {name}{did_you_mean(short, known)}; known: {', '.join(known)}")
    return known[short]
