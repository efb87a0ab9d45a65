"""Build the audio corpus: parse, drop duplicates, split by piece, arrange, render and caption. Resumable.

Shape suffixes: C channels, N samples.
"""

import errno
import json
import random
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from musicbench.data.audio import write_flac
from musicbench.data.corpus import rendering
from musicbench.data.corpus.arrange import MIN_SECONDS, arrange
from musicbench.data.corpus.captions import captions
from musicbench.data.corpus.catalogue import COLLECTIONS, Work, corpus_folder, doubtful, find_works
from musicbench.data.corpus.fingerprint import stable_hash
from musicbench.data.corpus.plan import Job, plan_clips
from musicbench.data.corpus.scores import Score, ScoreError, parse
from musicbench.errors import UserError
from musicbench.files import atomic_path, sha256_file, writing
from musicbench.plain_files import parse_json
from musicbench.seals import CARD_SEAL, LINE_SEAL, note_damage, read_sealed_lines, sealed, sealed_lines, unsealed

PARSE_LIMIT_SECONDS = 120  # the slowest usable work takes 15 s on one idle core
RENDER_LIMIT_SECONDS = 90
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def build_corpus(
    folder: Path,
    soundfont: Path,
    hours: float,
    workers: int,
    seed: int,
    channels: int = 1,
    clips: int | None = None,
) -> None:
    """Fill ``folder`` with ``audio/<clip id>.flac``, ``clips.jsonl``, ``corpus.json`` and ``skipped.jsonl``.

    Finished clips are kept, so the call can be repeated after an interruption. The clips depend on ``seed``
    and ``hours``, on ``channels``, on the versions of music21 and FluidSynth, and on the soundfont; not on ``workers``.

    Args:
        channels: of the audio, 1 or 2.
        clips: make only the first so many clips; pieces are in the splits in which the whole corpus has them.

    Raises:
        UserError: music21, its corpus, fluidsynth or the soundfont is missing, the folder cannot be written, or it
            holds clips with another number of channels.
    """
    rendering.require_fluidsynth(soundfont)
    sources = corpus_folder()
    with writing(folder, folder):
        folder.mkdir(parents=True, exist_ok=True)
    works = find_works(sources)
    scores = _parse_all(folder, works, sources, workers)
    left_out = {work.id for work in works if doubtful(work)}
    jobs = [job for job in plan_clips(scores, hours, seed) if job.score.id not in left_out][:clips]
    table, done = folder / "clips.jsonl", set()
    if table.is_file():
        whole = _whole_lines(table)
        if any(clip.get("channels", 1) != channels for clip in whole):
            raise UserError(f"{folder} holds a corpus of other channels than {channels}; choose another corpus.folder")
        _write_text(table, sealed_lines(whole))
        done = {clip["id"] for clip in whole}
    todo = [job for job in jobs if job.id not in done]
    with (
        writing(table, folder),
        table.open("a", encoding="utf-8") as lines,
        (folder / "skipped.jsonl").open("w") as skipped,
    ):
        arguments = [(job, folder / "audio", soundfont, seed, channels) for job in todo]
        for job, outcome in _run(_make_clip, arguments, workers, "rendering"):
            if isinstance(outcome, str):
                skipped.write(json.dumps({"id": job[0].id, "reason": outcome}) + "\n")
            else:
                lines.write(sealed_lines([outcome]))
                lines.flush()
    kept = sorted(_whole_lines(table), key=lambda clip: clip["id"])
    _write_text(table, sealed_lines(kept))
    card = {
        "sources": [asdict(c) for c in COLLECTIONS.values() if any(k["source"]["collection"] == c.name for k in kept)],
        "soundfont": {"name": soundfont.name, "sha256": sha256_file(soundfont)},
        "fluidsynth": rendering.fluidsynth_version(),
        "music21": version("music21"),
        "seed": seed,
        "hours": hours,
        **({} if channels == 1 else {"channels": channels}),
        "clips_sha256": sha256_file(table),
    }
    _write_text(folder / "corpus.json", json.dumps(sealed(card, CARD_SEAL), indent=2) + "\n")


def _parse_all(folder: Path, works: list[Work], sources: Path, workers: int) -> list[Score]:
    """Usable works in catalogue order, kept in ``scores.jsonl``; the others go to ``unusable.jsonl``."""
    cache = folder / "scores.jsonl"
    try:
        return [_score(fields) for _, fields in read_sealed_lines(cache)]
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        note_damage(cache, error)
    found, failed = {}, []
    for (work, _), outcome in _run(_parse_one, [(work, sources) for work in works], workers, "parsing"):
        if isinstance(outcome, str):
            failed.append({"id": work.id, "reason": outcome})
        else:
            found[work.id] = outcome
    _write_text(folder / "unusable.jsonl", "".join(json.dumps(line) + "\n" for line in failed))
    _write_text(cache, sealed_lines(found[w.id] for w in works if w.id in found))
    return [_score(fields) for _, fields in read_sealed_lines(cache)]


def _score(fields: dict[str, Any]) -> Score:
    fields["key"] = tuple(fields["key"]) if fields["key"] else None
    fields["bars"] = [tuple(bar) for bar in fields["bars"]]
    fields["parts"] = [[tuple(note) for note in part] for part in fields["parts"]]
    return Score(**fields)


def _parse_one(work: Work, sources: Path) -> dict[str, Any] | str:
    return _guarded(PARSE_LIMIT_SECONDS, lambda: asdict(parse(work, sources)))


def _make_clip(job: Job, audio_folder: Path, soundfont: Path, seed: int, channels: int) -> dict[str, Any] | str:
    """Render one clip; its line for the clip table, or the reason why there is none."""

    def make() -> dict[str, Any]:
        rng = random.Random(stable_hash(seed, "clip", job.id))
        arrangement = arrange(job.score, rng, job.position)
        audio_CN = rendering.render(arrangement, soundfont, rng, channels)
        seconds = audio_CN.shape[1] / rendering.SAMPLE_RATE
        if seconds < MIN_SECONDS:
            raise ScoreError(f"only {seconds:.1f} s long")
        write_flac(audio_folder / f"{job.id}.flac", audio_CN, rendering.SAMPLE_RATE)
        score = job.score
        return {
            "id": job.id,
            "piece": score.id,
            "split": job.split,
            "seconds": seconds,
            # A mono clip's line says nothing of channels, as it did before there were others.
            **({} if channels == 1 else {"channels": channels}),
            "captions": captions(arrangement.attributes),
            "attributes": arrangement.attributes,
            "source": {
                "title": score.title,
                "composer": score.composer,
                "path": score.path,
                "collection": score.collection,
                "licence": COLLECTIONS[score.collection].licence,
            },
        }

    return _guarded(RENDER_LIMIT_SECONDS, make)


def _guarded(limit_seconds: int, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | str:
    """The result, or why this one work failed: one bad score must not end the build."""
    try:
        with _time_limit(limit_seconds):
            return make()
    except ScoreError as error:
        return str(error)
    except _TooLongError:
        return f"took longer than {limit_seconds} s"
    except UserError:  # of writing the clip, which is no fault of this work
        raise
    except Exception as error:  # music21 raises errors of every kind on odd scores
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        return f"{type(error).__name__}: {error}"


class _TooLongError(Exception):
    """No OSError, as TimeoutError is: whoever writes a file then would take it for the disk's."""


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """``_TooLongError`` in the main thread of a (worker) process after ``seconds``."""

    def stop(*_: object) -> None:
        raise _TooLongError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _run(
    function: Callable[..., Any], arguments: list[tuple[Any, ...]], workers: int, what: str
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(arguments, result) pairs in order of completion, with a progress bar."""
    # Not forked: the caller may have started threads (torch), which a fork would leave half alive.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(function, *argument): argument for argument in arguments}
        try:
            for future in tqdm(as_completed(futures), total=len(futures), desc=what, unit="piece"):
                yield futures[future], future.result()
        finally:  # an interrupted build must not work off the queue first
            pool.shutdown(wait=False, cancel_futures=True)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The clips of a table that grew; what is left of others is dropped, so that they are made again."""
    clips = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            clips.append(unsealed(parse_json(line.decode("utf-8")), LINE_SEAL))
        except ValueError as error:
            print(f"warning: {path} line {number} is damaged ({error}); its clip is made again", file=sys.stderr)
    return clips


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
