"""Which works are the same music: normalised titles and interval n-grams of the melody."""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from itertools import pairwise

from musicbench.data.corpus.scores import Score, top_voice

NGRAM = 7  # intervals, that is 8 successive different notes
SHARED = 0.2  # of the smaller set of n-grams: works above it count as variants of one tune


def stable_hash(*parts: object) -> int:
    """A 64-bit number that is the same on every machine and in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def normalise_title(title: str) -> str:
    """Lower-case letters and digits without accents, articles and trailing numbers: a key for comparison."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"\(.*?\)", " ", plain.replace("'", "")).replace("&", "and")
    words = [word for word in re.findall(r"[a-z0-9]+", plain) if word not in ("the", "a", "an")]
    while words and re.fullmatch(r"\d+|i+v?|no|set|version", words[-1]):
        words.pop()
    return " ".join(words)


def melody_ngrams(score: Score) -> frozenset[tuple[int, ...]]:
    """Runs of ``NGRAM`` successive non-zero intervals of the top voice: independent of key and tempo."""
    pitches = [pitch for _, _, pitch in top_voice(score.parts[0])]
    intervals = [b - a for a, b in pairwise(pitches) if a != b]
    return frozenset(tuple(intervals[i : i + NGRAM]) for i in range(len(intervals) - NGRAM + 1))


def variants(scores: list[Score]) -> dict[str, str]:
    """Map every score id to the id that stands for its set of variants (the first of them in list order).

    Two works are variants when they are of one group (movements of an opus), when two tunes share a normalised
    title, or when they share more than ``SHARED`` of the melody n-grams of the shorter one, not counting n-grams
    that are common property (scale runs and arpeggios found in more than 1 % of all works).
    """
    parent = {score.id: score.id for score in scores}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    order = {score.id: index for index, score in enumerate(scores)}

    def join(a: str, b: str) -> None:
        first, second = sorted((root(a), root(b)), key=order.__getitem__)
        parent[second] = first

    named: dict[str, str] = {}
    holders: dict[tuple[int, ...], list[str]] = defaultdict(list)
    sizes: Counter[str] = Counter()
    for score in scores:
        keys = ["group " + score.group]
        if score.is_tune and normalise_title(score.title):
            keys.append("title " + normalise_title(score.title))
        for key in keys:
            join(named.setdefault(key, score.id), score.id)
        for ngram in melody_ngrams(score):
            holders[ngram].append(score.id)
    shared: Counter[tuple[str, str]] = Counter()
    common = max(2, len(scores) // 100)
    for names in holders.values():
        if len(names) > common:
            continue
        for name in names:
            sizes[name] += 1
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                shared[a, b] += 1
    for (a, b), count in shared.items():
        if count > SHARED * min(sizes[a], sizes[b]) and count >= 3:
            join(a, b)
    return {score.id: root(score.id) for score in scores}
