"""Evaluate a folder of audio, of whatever system."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from musicbench.assessment.assess import Findings, measure
from musicbench.assessment.clips import Asked, HeldOut, OwnCaptions
from musicbench.assessment.record import RECORD, Facts, finished, record
from musicbench.assessment.samples import keep_sample
from musicbench.data.audio_folder import Item, folder_sha256, read_clips
from musicbench.data.read_report import ReadReport
from musicbench.errors import UserError
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.runs.run import Assembly
from musicbench.study.samples import sample_name
from musicbench.tracking.loggers import send, send_once

LACKING = 0.1
"""Seconds that a held-out clip of another system may lack: codecs and MP3 cut a little."""


def assess_folder(run: Assembly) -> Path:
    """Evaluate ``audio=FOLDER``; the path of its record.

    Without ``captions``, the files are the held-out clips of ``evaluate prompts=FILE``, every one of them, and the row
    compares with those of trained runs. With them, clips and captions are the user's own.

    Raises:
        UserError: a held-out clip is missing or unreadable, nothing is readable, or the row has no name.
    """
    config = run.config
    if not config.row:
        raise UserError("audio=FOLDER becomes a row of its own; name it with row=NAME")
    folder = run.folder
    if finished(folder):
        send_once(run, folder / RECORD)
        return folder / RECORD
    report, seconds = run.audio.report, None
    items = run.audio.items
    if config.captions is None:
        held = HeldOut(run)
        items, seconds = _held_out_items(held, items, report), float(config.evaluation.seconds)
    kept: list[Item] = []
    lengths: list[float] = []
    heard = _hear(run, items, seconds, report, kept, lengths, folder)
    for line in report.lines():
        print(line, file=sys.stderr)
    if config.captions is None:
        if missing := sorted({item.id for item in items} - {item.id for item in kept}):
            raise UserError(f"{missing[0]}: {report.skipped[missing[0]]}; all held-out clips are needed for a row")
        asked: Asked = held
        originals: Heard | None = run.originals.of_crops(run.judges.roles.values(), held.crops)
    else:
        originals, content = None, None
        if config.originals is not None:
            originals, content = _originals(run, kept)
        asked = OwnCaptions(run, kept, lengths, content)
    found = Findings(files=report.facts())
    found.add(measure(asked, heard, originals))
    path = record(asked, found, Facts("external"), run.identity, folder)
    send(run, path)
    return path


def _held_out_items(held: HeldOut, items: Sequence[Item], report: ReadReport) -> list[Item]:
    """The files of the held-out clips, in their order; others are skipped in the report."""
    by_name = {item.id: item for item in items}
    wanted = [sample_name(crop.id) for crop in held.crops]
    missing = [name for name in wanted if name not in by_name]
    if unread := [name for name in missing if name in report.skipped]:
        raise UserError(f"{unread[0]}: {report.skipped[unread[0]]}; all held-out clips are needed for a row")
    if missing:
        raise UserError(
            f"{held.run.config.audio} lacks {len(missing)} of {len(wanted)} held-out clips, such as {missing[0]}; "
            "`musicbench evaluate prompts=FILE` lists them, or give captions=FILE for clips of your own"
        )
    for name in by_name.keys() - set(wanted):
        report.skip(name, "no held-out clip")
    return [by_name[name] for name in wanted]


def _hear(
    run: Assembly,
    items: Sequence[Item],
    seconds: float | None,
    report: ReadReport,
    kept: list[Item],
    lengths: list[float],
    folder: Path,
) -> Heard:
    """What all listeners say of the readable files, which are put into ``kept``, and their lengths into ``lengths``."""
    shortest = max(judge.window_seconds for judge in run.listeners)
    if seconds is not None:
        shortest = max(shortest, seconds - LACKING)

    def clips() -> Iterator[tuple[Tensor, int]]:
        for item, audio_N, rate in read_clips(items, report, seconds=seconds, shortest=shortest):
            if len(kept) < run.config.evaluation.samples:
                keep_sample(run, folder, item.id, item.caption or "", audio_N, rate)
            kept.append(item)
            lengths.append(round(len(audio_N) / rate, 3))
            yield audio_N, rate

    return hear([*run.listeners, run.latents], clips(), run.originals.cache, len(items))


def _originals(run: Assembly, kept: Sequence[Item]) -> tuple[Heard, str]:
    """What the judges say of the originals, files of the same ids in another folder, and the files' hash."""
    report, folder = ReadReport(), run.config.originals
    by_id = {item.id: item for item in run.own_originals.items}
    missing = [item.id for item in kept if item.id not in by_id]
    if missing:
        reason = run.own_originals.report.skipped.get(missing[0])
        raise UserError(
            f"{folder} lacks the originals of {len(missing)} clips, such as {missing[0]}"
            + (f" ({reason})" if reason else "")
        )
    longest = max(judge.window_seconds for judge in run.judges.roles.values())
    clips = read_clips([by_id[item.id] for item in kept], report, seconds=None, shortest=longest)
    heard = hear(run.judges.roles.values(), ((audio_N, rate) for _, audio_N, rate in clips), run.originals.cache)
    if report.skipped:
        raise UserError(f"originals in {folder} cannot be read: {'; '.join(report.lines())}")
    return heard, folder_sha256([by_id[item.id] for item in kept], run.hashes)
