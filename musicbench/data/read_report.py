"""The fate of the files of a folder: read, skipped or warned of, with reasons; nothing is dropped silently."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 5  # of each kind that facts and lines name
NO_AUDIO = "no audio file"


@dataclass
class ReadReport:
    """One pass over a folder.

    A reason for skipping is a kind such as "too short", and after a colon details.
    """

    read: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    """Item -> reason."""
    warned: dict[str, list[str]] = field(default_factory=dict)
    """Kind -> items, which are read all the same."""
    mixed_down: int = 0
    """Clips with more than one channel."""
    cut: int = 0
    """Clips that were longer than wanted."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Suffix of other files -> count."""

    def skip(self, item: str, reason: str) -> None:
        """Note that an item is left out."""
        self.skipped[item] = reason

    def warn(self, kind: str, item: str) -> None:
        """Note something odd about an item that is kept."""
        self.warned.setdefault(kind, []).append(item)

    @property
    def files(self) -> int:
        """Audio files that were read or skipped."""
        return self.read + sum(_kind(reason) != NO_AUDIO for reason in self.skipped.values())

    def facts(self) -> dict[str, Any]:
        """Plain values for a run record: counts of each kind, and a few examples of each."""
        return {
            "files": self.files,
            "read": self.read,
            "skipped": {kind: len(items) for kind, items in self._skips().items()},
            "warnings": {kind: len(items) for kind, items in sorted(self.warned.items())},
            "mixed_down": self.mixed_down,
            "cut": self.cut,
            "ignored": self.ignored.total(),
            "examples": {kind: list(items[:EXAMPLES]) for kind, items in self._examples().items()},
        }

    def lines(self) -> list[str]:
        """The same to read: a line for the counts, and one for each kind of skip and warning."""
        counts = [f"{self.files} audio files", f"{self.read} read", f"{self.files - self.read} skipped"]
        counts += [f"{self.mixed_down} mixed down to mono"] * (self.mixed_down > 0)
        counts += [f"{self.cut} cut to length"] * (self.cut > 0)
        lines = [", ".join(counts)]
        lines += [f"skipped, {kind} ({len(items)}): {_few(items)}" for kind, items in self._skips().items()]
        lines += [f"warning, {kind} ({len(items)}): {_few(items)}" for kind, items in sorted(self.warned.items())]
        if self.ignored:
            suffixes = [f"{count} {suffix}" for suffix, count in self.ignored.most_common()]
            lines.append(f"other files ({self.ignored.total()}): {_few(suffixes)}")
        return lines

    def _skips(self) -> dict[str, list[str]]:
        """Kind -> skipped items, with the details of the reason."""
        kinds: dict[str, list[str]] = {}
        for item, reason in sorted(self.skipped.items()):
            kind, _, details = reason.partition(": ")
            kinds.setdefault(kind, []).append(f"{item} ({details})" if details else item)
        return dict(sorted(kinds.items()))

    def _examples(self) -> dict[str, Sequence[str]]:
        return {**self._skips(), **dict(sorted(self.warned.items()))}


def _kind(reason: str) -> str:
    return reason.partition(": ")[0]


def _few(items: Sequence[str]) -> str:
    return ", ".join(items[:EXAMPLES]) + (", ..." if len(items) > EXAMPLES else "")
