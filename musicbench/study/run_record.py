"""The run record, schema 1: everything a table may say about one trained, baseline or reference run."""

from typing import Literal, NotRequired, TypedDict

SCHEMA = 1

Kind = Literal["trained", "baseline", "reference"]


class Git(TypedDict):
    """Source of the run; null without git. Dirty: musicbench/ or conf/ differed from the commit."""

    commit: str | None
    dirty: bool | None


class Machine(TypedDict):
    """Where the run was timed; ``gpu`` is null on CPU."""

    cpu: str
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


class Training(TypedDict):
    """What training used (frames and positions seen, seconds) and where it ended (bits per frame)."""

    steps: int
    frames: int
    positions: int
    wall_seconds: float
    best_step: int | None
    train_bits_per_frame: float | None
    validation_bits_per_frame: float | None


class Codec(TypedDict):
    """The codec by content."""

    id: str
    sha256: str


class Judge(TypedDict):
    """The judge (embedder and classifier) by content, with its windows in seconds."""

    id: str
    sha256: str
    window_seconds: float
    hop_seconds: float


class Reference(TypedDict):
    """The FAD reference set: how many judge windows, and the content they came from."""

    id: str
    windows: int
    sha256: str


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

    ``clap_mini`` is absent where no such score was made.
    """

    split: str
    clips: int
    pieces: int
    clip_seconds: float
    per_piece: int
    codec: Codec
    judge: Judge
    reference: Reference
    clap_mini: NotRequired[TextAudioJudge]
    tokens_sha256: str
    sampling: dict[str, object] | None


class ClipKey(TypedDict):
    """One evaluated clip and the piece it was cut from."""

    id: str
    piece: str


class Metric(TypedDict):
    """``per_clip`` values in the order of the record's clips, or ``replicates`` of a piece-level bootstrap.

    Replicate b resamples the same pieces in every record of one protocol, so differences of replicates are
    paired. Null stands for a value that was not finite.
    """

    value: float | None
    per_clip: NotRequired[list[float | None]]
    replicates: NotRequired[list[float | None]]


class SpeedRepeat(TypedDict):
    """One timed round of a batch, in seconds."""

    generate_seconds: float
    codec_seconds: float


class Speed(TypedDict):
    """Seconds to generate ``seconds_audio`` of each clip of a batch; real-time factors, the codec's apart."""

    batch: int
    seconds_audio: float
    generate_seconds: float
    codec_seconds: float
    rtf: float
    codec_rtf: float
    repeats: list[SpeedRepeat]


class RunRecord(TypedDict):
    """One run; ``row`` is its table row, and runs of one row differ in nothing but their seed."""

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
    failures: list[str]
