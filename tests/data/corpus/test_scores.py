"""ABC headers, and parsing with music21 of tunes written out here."""

import pickle
import zlib
from pathlib import Path

import pytest

from musicbench.data.corpus.catalogue import COLLECTIONS, EXCLUDED, Work, corpus_folder, find_works, split_tunes
from musicbench.data.corpus.scores import (
    ScoreError,
    abc_form,
    abc_key,
    abc_metre,
    bar_length,
    clean_title,
    parse,
    top_voice,
)

TUNE = """X:5
T:Test Tune, The -- Jig
R:jig
M:6/8
L:1/8
K:G
|:GBd gdB|cec BdB|ABA AFD|1GBd g3:|2GBd G3||
|:gfg dBG|ece dBG|ABA AFD|GBd G3:|
"""


def work(abc: str, name: str = "oneills1850-0005") -> Work:
    return Work(name, name, "oneills1850", "x.abc", "traditional", abc)


def test_headers() -> None:
    assert abc_key("K:Bb\nx") == (10, "major")
    assert abc_key("K: F#m\n") == (6, "minor")
    assert abc_key("K:A mix\n") == (9, "mixolydian")
    assert abc_key("K:EDor\n") == (4, "dorian")
    assert abc_key("K:C\nGAB") == (0, "major")
    assert abc_metre("M:C|\n") == "2/2" and abc_metre("M: 9/8\n") == "9/8"
    for bad in ("K:none\n", "K:HP\n", ""):
        with pytest.raises(ScoreError):
            abc_key(bad)
    with pytest.raises(ScoreError):
        abc_metre("M:none\n")
    assert bar_length("6/8") == 3.0 and bar_length("2/2") == 4.0


@pytest.mark.parametrize(
    ("abc", "number", "metre", "form"),
    [
        ("R:slip jig\n", 1, "9/8", "slip jig"),
        ("R:double jig\n", 1, "6/8", "jig"),
        ("R:jig\n", 1, "2/4", "tune"),
        ("", 300, "3/4", "air"),
        ("", 900, "6/8", "jig"),
        ("", 1400, "2/2", "reel"),
        ("", 1600, "4/4", "hornpipe"),
        ("", 1800, "2/4", "tune"),
    ],
)
def test_forms(abc: str, number: int, metre: str, form: str) -> None:
    assert abc_form(work(abc, f"oneills1850-{number:04d}"), metre) == form


def test_titles() -> None:
    assert clean_title("Blackbird, The -- Hornpipe") == "The Blackbird"
    assert clean_title("Cooley's") == "Cooley's"


def test_tunes_of_a_book_are_cut_apart() -> None:
    text = "% a comment\n\nX: 1\nT:A\nK:C\nCDE|\n\nX:22\nT:B\nK:D\nDEF|\n"
    assert [number for number, _ in split_tunes(text)] == [1, 22]
    assert split_tunes(text)[1][1] == "X:22\nT:B\nK:D\nDEF|\n"


def test_top_voice() -> None:
    assert top_voice([(0.0, 1.0, 60), (0.0, 1.0, 64), (1.0, 1.0, 50)]) == [(0.0, 1.0, 64), (1.0, 1.0, 50)]


def test_a_tune_with_repeats_and_endings() -> None:
    pytest.importorskip("music21")
    score = parse(work(TUNE), corpus_folder())
    assert (score.title, score.form, score.key) == ("The Test Tune", "jig", (7, "major"))
    assert {metre for _, _, metre in score.bars} == {"6/8"}
    # Bars 1-3 with the first ending, again with the second, then the other part twice.
    assert len(score.bars) == 16
    pitches = [pitch for _, _, pitch in score.parts[0]]
    first = [67, 71, 74, 79, 74, 71, 72, 76, 72, 71, 74, 71, 69, 71, 69, 69, 66, 62]
    assert pitches[:22] == [*first, 67, 71, 74, 79]
    assert pitches[22:44] == [*first, 67, 71, 74, 67]
    assert len(pitches) == 88 and pitches[44:66] == pitches[66:]
    assert score.parts[0][21][1] == 1.5 and score.parts[0][22][0] == 12.0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("K:G", "K:A", "declared key"),
        ("K:G", "K:Em", "declared key"),
        ("B", "_B", "declared key"),
        ("|:gfg", "[K:D]|:gfg", "several keys"),
        ("M:6/8\n", "", "several keys or metres, or none"),
        (TUNE.partition("K:G")[2], "\nGBd|GBd|GBd|G3|\n", "shorter than 24 notes"),
    ],
)
def test_unusable_tunes(old: str, new: str, reason: str) -> None:
    pytest.importorskip("music21")
    with pytest.raises(ScoreError, match=reason):
        parse(work(TUNE.replace(old, new)), corpus_folder())


def test_the_catalogue_takes_only_what_it_says() -> None:
    pytest.importorskip("music21")
    works = find_works(corpus_folder())
    assert {w.collection for w in works} == set(COLLECTIONS)
    assert len({w.id for w in works}) == len(works) > 2500
    excluded = {name for names in EXCLUDED for name in names.split(", ")}
    assert not excluded & set(COLLECTIONS)
    assert not {w.path.split("/")[0] for w in works} & excluded
    assert not any(w.path.endswith(".krn") for w in works)


def test_a_cut_file_in_the_cache_of_music21_spoils_no_score(tmp_path: Path) -> None:
    from music21 import converter, environment

    works = find_works(corpus_folder())
    movement = min(
        (one for one in works if one.abc is None), key=lambda one: (corpus_folder() / one.path).stat().st_size
    )
    settings = environment.Environment()
    before = settings["directoryScratch"]
    settings["directoryScratch"] = str(tmp_path)
    try:
        converter.parse(corpus_folder() / movement.path)
        (cached,) = tmp_path.glob("*.p.gz")
        cached.write_bytes(cached.read_bytes()[:1000])
        with pytest.raises((EOFError, zlib.error, pickle.UnpicklingError)):
            converter.parse(corpus_folder() / movement.path)
        assert parse(movement, corpus_folder()).parts
    finally:
        settings["directoryScratch"] = before
