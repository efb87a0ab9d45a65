"""Which works of music21's corpus may be redistributed, and where each of them is.

music21's ``corpus/license.txt`` says that encodings are distributed with the permission of the encoders and
that restrictions are embedded in the single files or folders. A collection is taken only if its works are in
the public domain and neither files nor folder restrict the encoding; a doubt excludes it (see ``EXCLUDED``).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from musicbench.errors import UserError


@dataclass(frozen=True)
class Collection:
    """Works from one source. ``licence`` is the reason why its encodings may be redistributed."""

    name: str
    title: str
    licence: str


@dataclass(frozen=True)
class Work:
    """One score to parse: a file of music21's corpus, or the tune ``number`` (X: field) of an ABC file."""

    id: str
    group: str  # works with the same group (movements of one opus) must share a split
    collection: str
    path: str
    composer: str
    abc: str | None = None


_UNRESTRICTED = (
    "work in the public domain; encoding distributed by music21 with the encoders' permission, "
    "with no restriction in the file or its folder"
)

COLLECTIONS = {
    c.name: c
    for c in (
        Collection("ryansMammoth", "Ryan's Mammoth Collection (1883), ABC transcriptions", _UNRESTRICTED),
        Collection("oneills1850", "O'Neill's Music of Ireland (1903), ABC transcriptions", _UNRESTRICTED),
        Collection("beethoven", "Beethoven, string quartets (MusicXML)", _UNRESTRICTED),
        Collection("haydn", "Haydn, string quartets (MusicXML)", _UNRESTRICTED),
        Collection("mozart", "Mozart, string quartets and a piano sonata (MusicXML)", _UNRESTRICTED),
        Collection("schumann_robert", "Robert Schumann, string quartet op. 41 no. 1 (MusicXML)", _UNRESTRICTED),
        Collection(
            "corelli", "Corelli, trio sonata op. 3 no. 1 (MusicXML)", "CC-BY, 2014, no author named (in the file)"
        ),
        Collection("weber", "Weber, clarinet concertino (MusicXML)", "public domain (in the file, O. Seely 1998)"),
    )
}

EXCLUDED = {
    "airdsAirs": "the transcriber signs the files and gives no terms",
    "bach": "edition by M. Greentree: marked (c), commercial use reserved; .krn: CCARH, all rights reserved",
    "beach, ciconia, josquin, luca, schumann_clara": "CC-BY-SA or GPL: "
    "copyleft would bind the token store, for a handful of works",
    "chopin, cpebach, handel, joplin, liliuokalani, johnson_j_r, verdi, webern": "single works from "
    "score-sharing sites, or terms of the encoding unknown",
    "essenFolksong": "licence.txt: legal status unclear, non-commercial",
    "leadSheet": "one of two works is all rights reserved",
    "miscFolk": "the transcriber signs the files and gives no terms",
    "monteverdi": "some files name a publisher's edition (2003)",
    "nottingham-dataset": "terms of the database unknown, contains modern tunes",
    "palestrina": "copyright 2000 John Miller, all rights reserved",
    "schoenberg, schubert, lusitano": "copyright mark or terms unknown",
    "trecento": "transcribed from a modern critical edition",
}

_DOUBTFUL_TRANSCRIBERS = {"norbeck": "his own collection is said to set non-commercial terms"}

_COMPOSERS = {
    "beethoven": "Beethoven",
    "haydn": "Haydn",
    "mozart": "Mozart",
    "schumann_robert": "Robert Schumann",
    "corelli": "Corelli",
    "weber": "Weber",
}
_SCORES = {
    "beethoven": "**/*.mxl",
    "haydn": "**/*.mxl",
    "mozart": "**/*.mxl",
    "schumann_robert": "opus41no1/*.mxl",
    "corelli": "**/*.xml",
    "weber": "*.mxl",
}
_TUNE_BOOKS = ("ryansMammoth", "oneills1850")


def corpus_folder() -> Path:
    """The folder of scores inside the installed music21.

    Raises:
        UserError: music21 is not installed, or was installed without its corpus.
    """
    try:
        import music21
    except ImportError as error:
        raise UserError("music21 is not installed; run: pip install 'musicbench[corpus]'") from error
    folder = Path(music21.__file__).parent / "corpus"
    if not (folder / "ryansMammoth").is_dir():
        raise UserError(f"music21 has no score corpus in {folder}; reinstall it with: pip install music21")
    return folder


def find_works(folder: Path) -> list[Work]:
    """All works of the collections taken, in a fixed order; ABC files are cut into their tunes."""
    works: dict[str, Work] = {}
    for collection, pattern in _SCORES.items():
        for path in sorted((folder / collection).glob(pattern)):
            relative = path.relative_to(folder)
            stem = "-".join(relative.with_suffix("").parts)
            opus = re.sub(r"-movement.*", "", stem)
            works[stem] = Work(stem, opus, collection, str(relative), _COMPOSERS[collection])
    for collection in _TUNE_BOOKS:
        for path in sorted((folder / collection).glob("*.abc")):
            relative = path.relative_to(folder)
            for number, abc in split_tunes(path.read_text(encoding="utf-8", errors="replace")):
                stem = path.stem if collection == "ryansMammoth" else f"{number:04d}"
                work_id = f"{collection}-{stem}"
                works.setdefault(work_id, Work(work_id, work_id, collection, str(relative), "traditional", abc))
    return list(works.values())


def doubtful(work: Work) -> bool:
    """Whether a tune's transcriber may reserve rights. Such tunes take part in the plan of splits but get no clip."""
    return work.abc is not None and any(name in work.abc.lower() for name in _DOUBTFUL_TRANSCRIBERS)


def split_tunes(text: str) -> list[tuple[int, str]]:
    """(number, ABC text) of every tune of an ABC file, cut at its ``X:`` lines."""
    tunes = []
    for block in re.split(r"(?m)^(?=X:)", text):
        match = re.match(r"X:\s*(\d+)", block)
        if match:
            tunes.append((int(match[1]), block.strip() + "\n"))
    return tunes
