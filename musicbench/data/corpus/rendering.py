"""An arrangement becomes a MIDI file and, through FluidSynth, levelled audio.

Shape suffixes: C channels, N samples.
"""

import random
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from musicbench.data.corpus.arrange import DRUM_CHANNEL, Arrangement, Track
from musicbench.data.corpus.scores import ScoreError
from musicbench.errors import UserError
from musicbench.files import writing

SAMPLE_RATE = 32_000
TICKS = 480  # per quarter note
TAIL_SECONDS = 1.0
FADE_SECONDS = 0.6
PEAK = 0.97
CENTRE, WIDTH = 64, 63  # MIDI pan: the middle, and how far from it the outermost parts are


def require_fluidsynth(soundfont: Path) -> None:
    """Raise a UserError that names the missing part, if FluidSynth or the soundfont is missing."""
    if shutil.which("fluidsynth") is None:
        raise UserError("fluidsynth is not installed; install it, e.g. apt-get install fluidsynth")
    if not soundfont.is_file():
        raise UserError(f"no soundfont at {soundfont}; install one, e.g. apt-get install fluid-soundfont-gm")


def fluidsynth_version() -> str:
    """The version of the installed FluidSynth, for example "2.3.1"."""
    text = subprocess.run(["fluidsynth", "--version"], capture_output=True, text=True, check=True).stdout
    return text.split("version", 1)[-1].split()[0]


def midi_bytes(arrangement: Arrangement, rng: random.Random, channels: int = 1) -> bytes:
    """A standard MIDI file (one track). Velocities vary by a few steps and mark the quarter beats.

    For two channels the parts are spread from left to right; nothing else differs.
    """
    events: list[tuple[int, int, bytes]] = []  # tick, rank (offs before ons), message
    tempo = round(60_000_000 / arrangement.quarters_per_minute)
    events.append((0, 0, b"\xff\x51\x03" + tempo.to_bytes(3, "big")))
    pans = pan_positions(arrangement.tracks)
    for track in arrangement.tracks:
        events.append((0, 0, bytes((0xC0 | track.channel, track.program))))
        if channels == 2:
            events.append((0, 0, bytes((0xB0 | track.channel, 10, pans[track.channel]))))
        for onset, duration, pitch in track.notes:
            accent = 6 if abs(onset - round(onset)) < 1e-3 else 0
            loudness = round((arrangement.velocity + accent + rng.randint(-4, 4)) * track.gain)
            start = round(onset * TICKS)
            end = max(start + 20, round((onset + duration * 0.97) * TICKS))
            events.append((start, 2, bytes((0x90 | track.channel, pitch, min(127, max(1, loudness))))))
            events.append((end, 1, bytes((0x80 | track.channel, pitch, 0))))
    tail = round(arrangement.quarters_per_minute / 60 * TAIL_SECONDS * 3 * TICKS)
    events.append((round(arrangement.quarters * TICKS) + tail, 3, b"\xff\x2f\x00"))
    body, now = bytearray(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        body += _variable_length(tick - now) + message
        now = tick
    header = b"MThd" + (6).to_bytes(4, "big") + b"\0\0\0\1" + TICKS.to_bytes(2, "big")
    return header + b"MTrk" + len(body).to_bytes(4, "big") + bytes(body)


def pan_positions(tracks: Sequence[Track]) -> dict[int, int]:
    """MIDI pan of each MIDI channel: the parts in their order at equal distances, percussion in the middle."""
    parts = [track.channel for track in tracks if track.channel != DRUM_CHANNEL]
    places = [CENTRE] if len(parts) == 1 else np.linspace(CENTRE - WIDTH, CENTRE + WIDTH, len(parts))
    return {DRUM_CHANNEL: CENTRE} | {channel: round(place) for channel, place in zip(parts, places, strict=True)}


def _variable_length(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | (value & 0x7F))
    return bytes(reversed(groups))


def render(arrangement: Arrangement, soundfont: Path, rng: random.Random, channels: int = 1) -> np.ndarray:
    """Float32 samples [C, N] at 32 kHz, at the loudness of the drawn dynamics, with a short fade-out.

    Args:
        channels: 1 or 2; what is drawn from ``rng`` does not depend on it.

    Raises:
        ScoreError: FluidSynth failed, or two seconds of the excerpt are silent.
        UserError: the disk of temporary files is full.
    """
    seconds = arrangement.quarters * 60 / arrangement.quarters_per_minute + TAIL_SECONDS
    size = round(seconds * SAMPLE_RATE)
    with tempfile.TemporaryDirectory() as folder, writing(Path(folder), Path(folder)):
        midi, wav = Path(folder, "in.mid"), Path(folder, "out.wav")
        midi.write_bytes(midi_bytes(arrangement, rng, channels))
        command = ["fluidsynth", "-n", "-i", "-q", "-r", str(SAMPLE_RATE), "-g", "0.4", "-C", "0"]
        command += ["-T", "wav", "-O", "float", "-F", str(wav), str(soundfont), str(midi)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        # On a full disk FluidSynth writes a shorter file and says that all is well.
        if done.returncode or not wav.is_file() or soundfile.info(wav).frames < size:
            Path(folder, "probe").write_bytes(bytes(8 * size))  # a full disk is no fault of the score
            raise ScoreError(f"fluidsynth failed: {done.stderr.strip()[-200:]}")
        audio_NC, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    assert rate == SAMPLE_RATE
    audio_CN = audio_NC.mean(axis=1)[None] if channels == 1 else audio_NC.T
    return level(audio_CN[:, :size], arrangement.rms_db)


def level(audio_CN: np.ndarray, rms_db: float) -> np.ndarray:
    """Scale samples [C, N] to an RMS level of all in dBFS (less where peaks would clip) and fade the end out.

    Raises:
        ScoreError: a window of two seconds before the fade is silent (below -60 dB of the whole).
    """
    window = 2 * SAMPLE_RATE
    audio_CN = np.ascontiguousarray(audio_CN)
    channels, size = audio_CN.shape
    rms = float(np.sqrt(np.mean(audio_CN**2)))
    blocks = audio_CN[:, : (size - SAMPLE_RATE) // window * window].reshape(channels, -1, window)
    if rms == 0 or blocks.size == 0 or np.sqrt((blocks**2).mean(axis=(0, 2))).min() < rms * 1e-3:
        raise ScoreError("silence in the excerpt")
    audio_CN = audio_CN * min(10 ** (rms_db / 20) / rms, PEAK / float(np.abs(audio_CN).max()))
    fade = round(FADE_SECONDS * SAMPLE_RATE)
    audio_CN[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32) ** 2
    return audio_CN.astype(np.float32)
