"""Duplicates are found whatever key they are in, and no music is in two splits."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from musicbench.data.corpus.fingerprint import melody_ngrams, normalise_title, stable_hash, variants
from musicbench.data.corpus.plan import plan_clips
from musicbench.data.corpus.scores import Score


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("The Rakes of Mallow", "RAKES OF MALLOW"),
        ("Lord MacDonald's Reel", "Lord Macdonalds Reel 2"),
        ("Sí Beag, Sí Mór", "Si Beag Si Mor"),
        ("A Jig (first setting)", "Jig"),
    ],
)
def test_titles_that_are_the_same(a: str, b: str) -> None:
    assert normalise_title(a) == normalise_title(b)


def test_titles_that_differ() -> None:
    assert normalise_title("The Blackbird") != normalise_title("The Blackthorn")


def test_stable_hash_is_fixed() -> None:
    assert stable_hash(0, "a") == 0xEF2C25EF33CA6BEC
    assert stable_hash("ab", "c") != stable_hash("a", "bc")


def varied(make: SimpleNamespace, score: Score, name: str, seed: int, changed: int) -> Score:
    """The tune a fourth higher, at half the speed, with some notes changed."""
    rng = random.Random(seed)
    places = set(rng.sample(range(len(score.parts[0])), changed))
    pitches = [p + 5 + (2 if i in places else 0) for i, (_, _, p) in enumerate(score.parts[0])]
    other = make.tune(name, pitches)
    slow = [(2 * onset, 2 * duration, pitch) for onset, duration, pitch in other.parts[0]]
    return replace(other, parts=[slow])


def test_variants_are_found_by_melody_title_and_group(make: SimpleNamespace) -> None:
    tunes = [make.random_tune(f"t{i}", i) for i in range(20)]
    variant = varied(make, tunes[3], "variant", 0, changed=6)
    namesake = make.random_tune("namesake", 99, title="T4.")
    movements = [
        make.movement("q-1", "q", seed=1),
        make.movement("q-2", "q", seed=2),
        make.movement("r-1", "r", seed=3),
    ]
    leader = variants([*movements, *tunes, variant, namesake])
    assert leader["variant"] == "t3"
    assert leader["namesake"] == "t4"
    assert leader["q-2"] == "q-1" and leader["r-1"] == "r-1"
    assert len(set(leader.values())) == 20 + 2


def test_ngrams_do_not_depend_on_key_or_repeated_notes(make: SimpleNamespace) -> None:
    score = make.random_tune("t", 1)
    higher = make.tune("u", [pitch + 4 for _, _, pitch in score.parts[0]])
    doubled = make.tune("v", [pitch for _, _, pitch in score.parts[0] for _ in range(2)])
    assert melody_ngrams(score) == melody_ngrams(higher) == melody_ngrams(doubled)


def corpus(make: SimpleNamespace) -> list[Score]:
    forms = ("jig", "reel", "air")
    quartets = [make.movement(f"q{i}-{m}", f"q{i}", seed=10 * i + m) for i in range(8) for m in range(4)]
    tunes = [make.random_tune(f"t{i}", 1000 + i, form=forms[i % 3]) for i in range(200)]
    return quartets + tunes + [varied(make, tune, f"{tune.id}b", i, changed=8) for i, tune in enumerate(tunes[:60])]


def test_splits_share_no_piece_no_opus_and_no_melody(make: SimpleNamespace) -> None:
    jobs = plan_clips(corpus(make), hours=4.0, seed=0)
    assert len({job.id for job in jobs}) == len(jobs) == round(4.0 * 3600 / 54)
    splits = ("train", "validation", "test")
    pieces = {split: {job.score.id for job in jobs if job.split == split} for split in splits}
    groups = {split: {job.score.group for job in jobs if job.split == split} for split in splits}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not pieces[a] & pieces[b]
        assert not groups[a] & groups[b]
        for x in pieces[a]:
            assert x + "b" not in pieces[b] and x.removesuffix("b") not in pieces[b]
    for split in ("validation", "test"):
        share = len(pieces[split]) / sum(map(len, pieces.values()))
        assert 0.08 < share < 0.15
        assert all(job.id.endswith("-0") for job in jobs if job.split == split)


def test_the_plan_is_a_function_of_the_seed(make: SimpleNamespace) -> None:
    scores = corpus(make)
    first, again, other = (plan_clips(scores, 3.0, seed) for seed in (0, 0, 1))
    assert first == again
    assert {(j.id, j.split) for j in first} != {(j.id, j.split) for j in other}


def test_tunes_are_taken_evenly_from_all_kinds(make: SimpleNamespace) -> None:
    jobs = plan_clips(corpus(make), hours=3.0, seed=0)
    kinds = [job.score.form for job in jobs if job.score.is_tune]
    counts = [kinds.count(form) for form in ("jig", "reel", "air")]
    assert max(counts) - min(counts) <= 1


def test_scale_runs_alone_do_not_make_variants(make: SimpleNamespace) -> None:
    run = [60, 62, 64, 65, 67, 69, 71, 72]
    tunes = []
    for i in range(30):
        rng = random.Random(i)
        tunes.append(make.tune(f"t{i}", run + [rng.choice(run) for _ in range(60)] + run))
    assert len(set(variants(tunes).values())) == 30
