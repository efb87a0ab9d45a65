"""Evaluate a folder of audio that any system may have made."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from musicbench.assessment.assess import Findings, measure
from musicbench.assessment.clips import ClipRequest, HeldOut, OwnCaptions, held_out
from musicbench.assessment.record import Facts, record
from musicbench.assessment.samples import keep_sample
from musicbench.data.audio_clips import read_clips
from musicbench.data.audio_folder import Item, folder_sha256
from musicbench.data.read_report import ReadReport
from musicbench.errors import UserError
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.runs.folder import RECORD, finished
from musicbench.runs.jury import Jury
from musicbench.runs.run import Run
from musicbench.study.samples import sample_name

LACKING = 0.1
"""Seconds that a held-out clip of another system may lack: codecs and MP3 cut a little."""


def assess_held_out(run: Run) -> Path:
    """Evaluate ``audio=FOLDER`` with the held-out clips of ``evaluate prompts=FILE``; return the record's path.

    The row compares with those of trained runs.

    Raises:
        UserError: a held-out clip is missing or unreadable.
    """
    folder = run.folder
    if finished(folder):
        return folder / RECORD
    listing, clips = run.contents.audio, held_out(run.jury)
    report = listing.report
    items = _held_out_items(clips, listing.items, report, run.config.audio)
    heard = _hear(run, items, float(clips.settings.seconds), report, folder)
    _say(report)
    if missing := sorted({item.id for item in items} - {item.id for item in heard.items}):
        raise UserError(f"{missing[0]}: {report.skipped[missing[0]]}; all held-out clips are needed for a row")
    originals = run.jury.originals.of_crops(run.jury.judges.roles.values(), clips.crops)
    return _record(run, clips, heard, originals, report, folder)


def assess_own_captions(run: Run) -> Path:
    """Evaluate ``audio=FOLDER captions=FILE``, clips and captions of the user's own; return the record's path.

    Raises:
        UserError: nothing is readable, or originals are missing.
    """
    folder = run.folder
    if finished(folder):
        return folder / RECORD
    listing = run.contents.audio
    heard = _hear(run, listing.items, None, listing.report, folder)
    _say(listing.report)
    originals, content = None, None
    if run.config.originals is not None:
        originals, content = _own_originals(run.jury, heard.items)
    clips = OwnCaptions(heard.items, heard.seconds, content)
    return _record(run, clips, heard, originals, listing.report, folder)


class _HeardFiles(NamedTuple):
    """The readable files, their lengths in seconds, and what the listeners say of them."""

    items: list[Item]
    seconds: list[float]
    judgements: Heard


def _say(report: ReadReport) -> None:
    for line in report.lines():
        print(line, file=sys.stderr)


def _record(
    run: Run, clips: ClipRequest, heard: _HeardFiles, originals: Heard | None, report: ReadReport, folder: Path
) -> Path:
    findings = Findings(files=report.facts())
    findings.add(measure(run.jury, clips, heard.judgements, originals))
    return record(run, clips, findings, Facts("external"), folder)


def _held_out_items(clips: HeldOut, items: Sequence[Item], report: ReadReport, folder: str) -> list[Item]:
    """Return the files of the held-out clips, in their order; the report lists other files as skipped."""
    by_name = {item.id: item for item in items}
    wanted = [sample_name(name) for name in clips.ids]
    missing = [name for name in wanted if name not in by_name]
    if unread := [name for name in missing if name in report.skipped]:
        raise UserError(f"{unread[0]}: {report.skipped[unread[0]]}; all held-out clips are needed for a row")
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of {len(wanted)} held-out clips, such as {missing[0]}; "
            "`musicbench evaluate prompts=FILE` lists them, or give captions=FILE for clips of your own"
        )
    for name in by_name.keys() - set(wanted):
        report.skip(name, "no held-out clip")
    return [by_name[name] for name in wanted]


def _hear(run: Run, items: Sequence[Item], seconds: float | None, report: ReadReport, folder: Path) -> _HeardFiles:
    """Let all listeners hear the readable files.

    Args:
        seconds: length of every clip; None: any length that the judges can hear.
    """
    jury, samples = run.jury, run.config.evaluation.samples
    kept: list[Item] = []
    lengths: list[float] = []
    shortest = max(judge.window_seconds for judge in jury.listeners)
    if seconds is not None:
        shortest = max(shortest, seconds - LACKING)

    def clips() -> Iterator[tuple[Tensor, int]]:
        for item, audio_N, rate in read_clips(items, report, seconds=seconds, shortest=shortest):
            if len(kept) < samples:
                keep_sample(folder, run.facts, item.id, item.caption or "", audio_N[None], rate)
            kept.append(item)
            lengths.append(round(len(audio_N) / rate, 3))
            yield audio_N[None], rate

    heard = hear([*jury.listeners, jury.latents], clips(), jury.cache, len(items))
    return _HeardFiles(kept, lengths, heard)


def _own_originals(jury: Jury, kept: Sequence[Item]) -> tuple[Heard, str]:
    """Judge the originals, which are files of the same ids in another folder, and hash these files."""
    report, folder = ReadReport(), jury.config.originals
    by_id = {item.id: item for item in jury.contents.own_originals.items}
    missing = [item.id for item in kept if item.id not in by_id]
    if missing:
        reason = jury.contents.own_originals.report.skipped.get(missing[0])
        raise UserError(
            f"{folder} lacks the originals of {len(missing)} clips, such as {missing[0]}"
            + (f" ({reason})" if reason else "")
        )
    judges = jury.judges.roles.values()
    longest = max(judge.window_seconds for judge in judges)
    clips = read_clips([by_id[item.id] for item in kept], report, seconds=None, shortest=longest)
    heard = hear(judges, ((audio_N[None], rate) for _, audio_N, rate in clips), jury.cache)
    if report.skipped:
        raise UserError(f"originals in {folder} cannot be read: {'; '.join(report.lines())}")
    return heard, folder_sha256([by_id[item.id] for item in kept], jury.contents.hashes)
