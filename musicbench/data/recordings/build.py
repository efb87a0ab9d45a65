"""Build a manifest of real recordings: fetch packages, find their music, say of it what the tags say. Resumable."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import soundfile

from musicbench.data.manifest import HELD_OUT_PERCENT
from musicbench.data.recordings.packages import Package, chosen, fetch
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.seals import sealed_lines

MANIFEST = "manifest.jsonl"
MINIMUM_SECONDS = 30  # below: jingles and sound effects
UNTOLD = {"", "unknown", "other", "none", "misc"}  # tags that say nothing
# Last words of a title that name a version of a track, not a track.
VARIANTS = {"alt", "alternate", "edit", "enhanced", "extended", "instrumental", "intro", "long", "loop", "mix", "old"}
VARIANTS |= {"outro", "part", "remaster", "remastered", "remix", "reprise", "short", "version"}


def build_recordings(folder: Path, packages: Sequence[str]) -> Path:
    """Fetch packages into ``folder`` and write its manifest, one line a track; unpacked packages are kept.

    Args:
        packages: names from the table of packages, or ["all"].

    Raises:
        UserError: a package is unknown, cannot be fetched or holds no music, or the folder cannot be written.
    """
    lines = [line for package in chosen(packages) for line in tracks(package, fetch(package, folder))]
    seconds = sum(line["attributes"]["seconds"] for line in lines)
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(sealed_lines(lines), encoding="utf-8")
    print(f"recordings: {len(lines)} tracks, {seconds / 60:.0f} minutes, in {folder / MANIFEST}")
    return folder / MANIFEST


def tracks(package: Package, unpacked: Path) -> list[dict[str, Any]]:
    """Manifest lines of the music in an unpacked package (see ``data.manifest``), in the order of its paths.

    Raises:
        UserError: there is none.
    """
    version = unquote(unpacked.name.split("_")[1])  # apt writes the colon of an epoch as %3a
    lines = []
    for path in sorted(unpacked.glob(package.music)):
        try:
            with soundfile.SoundFile(path) as sound:
                seconds, found = sound.frames / sound.samplerate, sound.copy_metadata()
        except soundfile.LibsndfileError as error:
            print(f"left out {path}: {error}")
            continue
        if seconds < MINIMUM_SECONDS:
            continue
        tags = {name: " ".join(value.split()) for name, value in found.items() if value.strip().lower() not in UNTOLD}
        title = tags.get("title", path.stem)
        source = {"title": title, "composer": tags.get("artist"), "album": tags.get("album")}
        source |= {"package": package.name, "version": version, "path": str(path.relative_to(unpacked))}
        line: dict[str, Any] = {
            "audio": str(path.relative_to(unpacked.parent)),
            "text": captions(tags, package.game),
            "piece": f"{package.name}/{piece(title)}",
            "licence": package.licence,
            "source": source,
            "attributes": {"game": package.game, "genre": tags.get("genre"), "seconds": round(seconds, 2)},
        }
        lines.append(line)
    if not lines:
        raise UserError(f"{unpacked} holds no music; leave {package.name} out of corpus.packages")
    splits = hashed_splits(line["piece"] for line in lines)
    return [{**line, "split": splits[line["piece"]]} for line in lines]


def captions(tags: dict[str, str], game: str) -> list[str]:
    """Phrasings of what is known of a track: the game it is from, and its genre, artist, title and album."""
    music = f"{tags['genre']} music" if "genre" in tags else "music"
    by = f" by {tags['artist']}" if "artist" in tags else ""
    phrasings = [f"{music}{by}, from the game {game}" if by else f"{music} from the game {game}"]
    if "title" in tags:
        phrasings.append(f'"{tags["title"]}"{by}, {music} from the game {game}')
    if "album" in tags:
        phrasings.append(f'{music} from the album "{tags["album"]}"{by}')
    phrasings.append(f"{music} from the game {game}")
    return list(dict.fromkeys(phrasings))


def piece(title: str) -> str:
    """What the versions of a track share: the title in small letters, without brackets, "loop", or "v2" and so on."""
    plain = re.sub(r"\(.*?\)|\[.*?\]| v\d+\b.*", " ", title.casefold().replace("_", " "))
    words = re.findall(r"\w+", plain)
    while len(words) > 1 and words[-1] in VARIANTS:
        words.pop()
    return " ".join(words) or title


def hashed_splits(pieces: Iterable[str]) -> dict[str, str]:
    """The split of each piece of a package, by the order of their hashes: a tenth, but at least one, held out twice.

    So a package has the same splits whatever else is taken, and even a small one has test pieces.
    """
    ranked = sorted(set(pieces), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held_out = math.ceil(len(ranked) * HELD_OUT_PERCENT / 100)
    names = ["test"] * held_out + ["validation"] * held_out + ["train"] * len(ranked)
    return dict(zip(ranked, names, strict=False))
