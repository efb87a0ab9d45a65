"""Which excerpts of which pieces make the corpus, and in which split each piece is."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from musicbench.data.corpus.fingerprint import stable_hash, variants
from musicbench.data.corpus.scores import Score

MEAN_SECONDS = 54.0
HELD_OUT = 0.11  # share of the pieces in each of validation and test
MOVEMENT_EXCERPTS = 3  # of a movement of the training split; every other piece gives one clip


@dataclass(frozen=True)
class Job:
    """One clip to make."""

    id: str
    split: str
    position: float  # where in the work the excerpt begins, 0 to 1
    score: Score


def plan_clips(scores: list[Score], hours: float, seed: int) -> list[Job]:
    """Choose pieces and splits; a set of variants gives one tune only, movements of one opus share a split.

    Tunes are taken evenly from all kinds (jig, reel, air, ...). The order mixes splits, so that any
    beginning of the list is a small corpus.
    """
    leader = variants(scores)
    by_id = {score.id: score for score in scores}
    movements = [score for score in scores if not score.is_tune]
    kinds: dict[str, list[Score]] = defaultdict(list)
    for name in sorted(set(leader.values()), key=lambda name: stable_hash(seed, name)):
        if by_id[name].is_tune:
            kinds[by_id[name].form].append(by_id[name])
    groups: dict[str, list[Score]] = defaultdict(list)
    for score in movements:
        groups[leader[score.id]].append(score)
    jobs: list[Job] = []
    works = sorted(groups.values(), key=lambda works: stable_hash(seed, works[0].group))
    for score, split in _split(works, HELD_OUT):
        count = MOVEMENT_EXCERPTS if split == "train" else 1
        for index in range(count):
            jobs.append(Job(f"{score.id}-{index}", split, index / count, score))
    wanted = max(0, round(hours * 3600 / MEAN_SECONDS) - len(jobs))
    tunes = _round_robin(list(kinds.values()))[:wanted]
    tunes.sort(key=lambda score: stable_hash(seed, "split", score.id))
    jobs += [Job(f"{score.id}-0", split, 0.0, score) for score, split in _split([[t] for t in tunes], HELD_OUT)]
    return sorted(jobs, key=lambda job: stable_hash(seed, "order", job.id))


def _round_robin(rows: list[list[Score]]) -> list[Score]:
    longest = max((len(row) for row in rows), default=0)
    return [row[index] for index in range(longest) for row in rows if index < len(row)]


def _split(groups: list[list[Score]], held_out: float) -> Iterator[tuple[Score, str]]:
    """The first groups go to test and validation until each holds its share of all scores."""
    share = held_out * sum(len(group) for group in groups)
    counts = {"test": 0, "validation": 0}
    for group in groups:
        open_splits = [split for split, count in counts.items() if count + len(group) / 2 <= share]
        split = min(open_splits, key=counts.__getitem__) if open_splits else "train"
        if split != "train":
            counts[split] += len(group)
        yield from ((score, split) for score in group)
