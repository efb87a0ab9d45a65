"""The clips of a folder of audio, one by one.

Shape suffixes: N samples, C channels.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from musicbench.data.audio import AudioFileError, Samples, read_samples
from musicbench.data.audio_folder import Item
from musicbench.data.read_report import ReadReport
from musicbench.errors import UserError

SILENT_DB = -80.0  # peak, relative to full scale
CLIPPED_SHARE = 0.001  # of all samples at full scale
LOW_RATE = 16000  # Hz; a judge hears nothing above half of the rate


def read_clips(
    items: Iterable[Item], report: ReadReport, *, seconds: float | None, shortest: float
) -> Iterator[tuple[Item, Tensor, int]]:
    """(item, audio [N] as mono float32 with full scale at 1, rate in Hz) of each usable file, one at a time.

    Channels are averaged; audio stays at the file's rate, for judges resample it. What is odd about a clip is
    noted in the report (one report for each pass) and the clip kept; a file that cannot be used is skipped there.

    Args:
        seconds: longer clips are cut to this length; None: none is.
        shortest: seconds of the longest window of a judge; shorter clips are skipped.

    Raises:
        UserError: ``seconds`` is less than ``shortest``, or at the end: no file could be used.
    """
    if seconds is not None and seconds < shortest:
        raise UserError(
            f"clips of {seconds:g} s are shorter than a judge's window of {shortest:g} s; keep more of them"
        )
    count = 0
    for item in items:
        try:
            samples = read_samples(item.path, seconds)
        except AudioFileError as error:
            report.skip(item.id, error.reason)
            continue
        length = len(samples.audio_NC)
        if length < max(1, round(shortest * samples.rate)):
            have = f"{length} samples at {samples.rate} Hz, {length / samples.rate:.3g} s"
            report.skip(item.id, f"too short: {have}, where judges need {shortest:.4g} s")
            continue
        count += 1
        yield item, _clip(item, samples, report), samples.rate
        del samples  # before the next one is read
    if count == 0:
        raise UserError(f"no clip could be used; {'; '.join(report.lines()[1:]) or 'there are no files'}")


def _clip(item: Item, samples: Samples, report: ReadReport) -> Tensor:
    """Mixed down to mono [N]; what is odd about it is noted."""
    audio_NC = samples.audio_NC
    audio_N = audio_NC.mean(axis=1)
    report.read += 1
    report.mixed_down += audio_NC.shape[1] > 1
    report.cut += samples.cut
    # The highest value of integer samples is a step below 1; of what has 16 bits or more, within this.
    full = 1 - 2.0 ** -(7 if samples.subtype in ("PCM_S8", "PCM_U8") else 15)
    loud_NC = abs(audio_NC)
    beyond = samples.subtype in ("FLOAT", "DOUBLE") and loud_NC.max() > 1
    if beyond or (loud_NC >= full).mean() > CLIPPED_SHARE:
        report.warn("clipped", item.id)
    if abs(audio_N).max() < 10 ** (SILENT_DB / 20):
        report.warn("silent", item.id)
    if samples.rate < LOW_RATE:
        report.warn("low sample rate", item.id)
    if not samples.length_known:
        report.warn("MP3 of unknown length, maybe not whole", item.id)
    return torch.from_numpy(audio_N)
