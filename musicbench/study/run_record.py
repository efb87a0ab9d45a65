"""The run record, schema 3: everything a table may say about one trained, baseline or reference run."""

from typing import Literal, NotRequired, TypedDict

SCHEMA = 3

Kind = Literal["trained", "released", "baseline", "reference", "external"]
"""The kinds of runs; ``released`` is a model whose weights came from elsewhere, ``external`` audio of any system."""

MODELS = ("trained", "released")
"""The kinds of runs that are models, and so candidates for a table's best value."""


class Git(TypedDict):
    """The source's commit, null without git; ``dirty``: musicbench/ or conf/ differed from that commit."""

    commit: str | None
    dirty: bool | None


class Machine(TypedDict):
    """The machine on which the run was timed; ``gpu`` is null on a CPU; early records lack ``isa``."""

    cpu: str
    isa: NotRequired[str]
    cores: int
    threads: int
    gpu: str | None
    torch: str


class Plan(TypedDict):
    """Decoding plan in integers: network calls, positions and largest key/value cache (positions)."""

    pattern: str
    schedule: str | None
    frames: int
    levels: int
    steps: int
    positions: int
    peak_cache: int


class Computed(TypedDict):
    """How many processes shared a training, on devices of which kind: "cpu", or the GPU's name."""

    processes: int
    device: str


class CurvePoint(TypedDict):
    """A validation: optimiser steps and floating-point operations until then, and the score that training monitors."""

    step: int
    flops: float
    score: float


class Training(TypedDict):
    """The cost of training (frames and positions seen, seconds) and its end (bits per frame).

    ``loss_tokens``: tokens that the loss held in all. ``flops``: useful floating-point operations, forward and
    backward. ``curve``: the validations on the way. Early records lack the three.

    ``computed``: by whom; several in turn if it was interrupted and went on in another way. The run's id does not
    depend on it, the last digits of its numbers do. Absent where it is not known.
    """

    steps: int
    frames: int
    positions: int
    loss_tokens: NotRequired[float]
    flops: NotRequired[float]
    curve: NotRequired[list[CurvePoint]]
    wall_seconds: float
    best_step: int | None
    computed: NotRequired[list[Computed]]
    train_bits_per_frame: float | None
    validation_bits_per_frame: float | None


class Codec(TypedDict):
    """The codec by content; ``channels`` is absent where it is 1, and more are averaged before a judge hears them."""

    id: str
    sha256: str
    channels: NotRequired[int]


class Judge(TypedDict):
    """A judge by content, with its windows in seconds and the rate in Hz to which audio is resampled for it.

    ``class_kind``: softmax or sigmoid; null for a judge without classes.
    """

    id: str
    sha256: str
    window_seconds: float
    hop_seconds: float
    sample_rate: int
    class_kind: str | None


class Judges(TypedDict):
    """The judges by role: ``fad`` embeds for FAD, FAD-infinity and KAD, ``kld`` classifies, ``clap`` reads captions."""

    fad: Judge
    kld: Judge
    clap: NotRequired[Judge]


class Reference(TypedDict):
    """The FAD reference set: how many judge windows (null: unknown), and the content they came from.

    ``note``: how it was made in another way than this judge would.
    """

    id: str
    windows: int | None
    sha256: str
    note: NotRequired[str]


class Audio(TypedDict):
    """How audio is prepared before a judge hears it."""

    channels: str
    loudness: str
    resampler: str


class Kld(TypedDict):
    """Direction of ``kld`` (``kld_reverse`` is the other one), and the epsilon of its logarithm."""

    direction: str
    epsilon: float


class TextAudioJudge(TypedDict):
    """clap_mini by content, and its retrieval among held-out pieces beside chance.

    ``chance`` is keyed by k of R@k, "1" and "10"; ``recall`` by direction, "text_to_audio" and
    "audio_to_text", then by k.
    """

    id: str
    sha256: str
    pieces: int
    chance: dict[str, float]
    recall: dict[str, dict[str, float]]


class Protocol(TypedDict):
    """How the run was evaluated; two runs may stand in one table only if this agrees.

    ``clap_mini`` is absent where no such score was made, ``codec_reference`` (that of the codec distance) where there
    is no codec, and ``clip_seconds`` is null for clips of various lengths. Clips of a token store have ``per_piece``
    and ``tokens_sha256``; clips with captions of their own have ``captions_sha256``, which hashes their lengths too,
    and ``seconds_range``, the shortest and the longest, if they differ. ``originals_sha256`` is of what KLD and KAD
    compare clips with: the stored view of the originals, or their files; null without them.
    """

    split: str
    clips: int
    pieces: int
    clip_seconds: float | None
    per_piece: int | None
    codec: Codec | None
    judges: Judges
    reference: Reference
    codec_reference: NotRequired[Reference]
    audio: Audio
    kld: Kld
    clap_mini: NotRequired[TextAudioJudge]
    tokens_sha256: str | None
    captions_sha256: NotRequired[str]
    seconds_range: NotRequired[list[float]]
    originals_sha256: str | None
    sampling: dict[str, object] | None


class ClipKey(TypedDict):
    """One evaluated clip and the piece it was cut from."""

    id: str
    piece: str


class Metric(TypedDict):
    """``per_clip`` values in the order of the record's clips, or ``replicates`` of a piece-level bootstrap.

    Replicate b resamples the same pieces in every record of one protocol, so differences of replicates are
    paired. Null stands for a value that was not finite, or that could not be measured. ``r_squared`` is how well the
    line of FAD-infinity fits. FAD also says from how many ``windows`` of the clips it was computed, and the ``width``
    of the judge's embeddings.
    """

    value: float | None
    windows: NotRequired[int]
    width: NotRequired[int]
    r_squared: NotRequired[float]
    per_clip: NotRequired[list[float | None]]
    replicates: NotRequired[list[float | None]]


class SpeedTimes(TypedDict):
    """Seconds of the parts of one timed round of a batch, or spreads of these; the parts are those of ``Speed``."""

    generate_seconds: float
    codec_seconds: float
    text_seconds: NotRequired[float]
    first_audio_seconds: NotRequired[float]


class Speed(TypedDict):
    """How fast a batch of clips is made; times are medians of the ``repeats``. Fields may be absent in old records.

    ``seconds_audio`` is that of all clips of the batch together; ``rtf`` and ``codec_rtf`` are the seconds of token
    generation and of codec decoding over it.
    ``text_seconds``: the text encoder on all captions of the batch, nothing cached, on the device it is configured for
    (CPU by default); absent for systems without one. ``generate_seconds`` does not contain it.
    ``first_audio_seconds``: from the captions, text encoder included, to the first decoded sound of every clip; that
    sound lasts ``first_audio_length`` seconds. A system that does not stream has none before all of it is there: then
    this is the whole time, text, tokens and codec, and the length is that of the clip.
    ``spread``: interquartile ranges over the repeats, absent with a single one.
    ``gpu_peak_bytes``: most memory that tensors on the GPU held, weights included, without the allocator's reserve.
    ``resident_growth_bytes`` (on CPU, where the system reports it): most resident memory of the process, less what it
    was before the first batch size, so without weights; a lower bound, for memory that the process had kept from
    earlier work is used again.
    """

    batch: int
    seconds_audio: float
    generate_seconds: float
    codec_seconds: float
    text_seconds: NotRequired[float]
    first_audio_seconds: NotRequired[float]
    first_audio_length: NotRequired[float]
    rtf: float
    codec_rtf: float
    spread: NotRequired[SpeedTimes]
    gpu_peak_bytes: NotRequired[int]
    resident_growth_bytes: NotRequired[int]
    repeats: list[SpeedTimes]


class Files(TypedDict):
    """The fate of the files of a folder of audio: counts by reason, and some of their names."""

    files: int
    read: int
    skipped: dict[str, int]
    warnings: dict[str, int]
    mixed_down: int
    cut: int
    ignored: int
    examples: dict[str, list[str]]


class RunRecord(TypedDict):
    """One run; ``row`` is its table row, and runs of one row differ in nothing but their seed.

    Its file has one key more, ``sha256``: the checksum of all the others.
    """

    schema: int
    id: str
    row: str
    kind: Kind
    config: dict[str, object]
    seed: int
    command: str
    git: Git
    numerics: int
    versions: dict[str, str]
    machine: Machine
    parameters: int | None
    plan: Plan | None
    training: Training | None
    protocol: Protocol
    clips: list[ClipKey]
    metrics: dict[str, Metric]
    speed: dict[str, Speed] | None
    files: NotRequired[Files]
    warnings: NotRequired[list[str]]
    failures: list[str]
