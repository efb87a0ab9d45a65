"""The keys of all configurations: which values each key may have, and which numbers it changes.

A key stands here once; its default and its explanation stand in ``conf``. A row whose name is that of a group speaks
for all keys of the group.
"""

from dataclasses import dataclass
from math import inf
from typing import Any, Literal

Changes = Literal["everything", "weights", "decoding", "evaluation", "record", "nothing"]
"""What a key changes, from which all ids follow:

- ``everything``: the weights, and the numbers of systems that are not trained too
- ``weights``: the weights of a trained model, and so all that is measured of it
- ``decoding``: what is drawn from given weights
- ``evaluation``: what is measured, of whatever system
- ``record``: how a record names a run; what is named counts by its content
- ``nothing``: where and how fast something is computed, or a place that counts by its content
"""


@dataclass(frozen=True)
class Key:
    """One key of a configuration; whether its value is a number, a text or a list follows from the shipped value.

    Attributes:
        changes: which numbers of a run follow from it.
        low, high: least and greatest value; both are allowed.
        above_zero: zero is not allowed either.
        example: a value, where the shipped one is null.
        among: the values that are allowed; empty where they are not listed.
        optional: null is allowed, although the shipped value is another.
        free: whether it is a group whose keys the chosen class defines.
    """

    changes: Changes
    low: float = -inf
    high: float = inf
    above_zero: bool = False
    example: Any = None
    among: tuple[str, ...] = ()
    optional: bool = False
    free: bool = False

    @property
    def bounded(self) -> bool:
        """Whether the value is a number with a least or a greatest value."""
        return (self.low, self.high) != (-inf, inf)


def key_of(name: str) -> Key:
    """Return the row of a key, or the row of the group that speaks for it.

    A key without a row belongs to a user's own pattern, family or way of decoding, so it is taken to change numbers.
    """
    found = name
    while found not in KEYS and "." in found:
        found = found.rpartition(".")[0]
    return KEYS[found] if found in KEYS else _OWN.get(name.partition(".")[0], Key("weights"))


def _under(group: str, rows: dict[str, Key]) -> dict[str, Key]:
    return {f"{group}.{name}": row for name, row in rows.items()}


def _option(*among: str) -> Key:
    """Return the row of an option of training that is null as shipped, and may become null again in a recipe."""
    return Key("weights", example=among[-1], among=among, optional=True)


def _share(example: float) -> Key:
    """Return the row of a probability of training that is null as shipped."""
    return Key("weights", low=0, high=1, example=example, optional=True)


_OWN = {"decode": Key("decoding"), "evaluation": Key("evaluation")}
_RUN_FOLDER = "runs/delay-1a2b3c4d"
_FADTK = "fadtk-1.1.0-py3-none-any.whl"

_SAMPLING = {
    "_target_": Key("decoding"),
    "cfg": Key("decoding"),
    "top_k": Key("decoding"),
    "temperature": Key("decoding"),
    "cfg_inner": Key("decoding", example=3.0),
}
_MASKED_SAMPLING = {
    **_SAMPLING,
    "iterations": Key("decoding"),
    "span": Key("decoding"),
    "spans": Key("decoding"),
    "span_score": Key("decoding"),
    "cfg_final": Key("decoding"),
    "anneal": Key("decoding"),
    "top_p": Key("decoding"),
    "prompt_upper_levels": Key("decoding"),
    "remasking": Key("decoding", example="released", among=("released",), optional=True),
    "rescore": Key("decoding"),
    "rescorer_probability": Key("decoding"),
    "rescorer": Key("nothing", example=_RUN_FOLDER),
}

_TRAIN = {
    "row": Key("record"),
    "label": Key("record"),
    "seed": Key("everything", low=0, high=2**32 - 1),
    "output": Key("nothing", example="runs"),
    "cache": Key("nothing"),
    "training.start": Key("record", example=_RUN_FOLDER, optional=True),  # It counts by its content.
    "training.start_sha256": Key("weights", example=64 * "0", optional=True),
    "training.steps": Key("weights", low=0),
    "training.batch_size": Key("weights", low=1),
    "training.length_warmup": Key("weights"),
    "training.accumulate": Key("weights", low=1),
    "training.validate_every": Key("weights", low=1),
    "training.save_every": Key("nothing", low=1),
    "training.ema_decay": Key("weights", low=0, high=1),
    "training.ema_every": Key("weights", low=1, example=10),
    "training.melody_dropout": Key("weights", low=0, high=1, example=0.5),
    "training.text_dropout": Key("weights", low=0, high=1, example=0.1),
    "training.max_nonfinite": Key("nothing", low=1),
    "optimiser.lr": Key("weights", above_zero=True),
    "optimiser.final_lr": Key("weights", low=0),
    "optimiser.warmup_steps": Key("weights", low=0),
    "optimiser.weight_decay": Key("weights", low=0),
    "optimiser.clip_norm": Key("weights", low=0),
    "optimiser.betas": Key("weights", example=[0.9, 0.95]),
    "optimiser.decayed": _option("all"),
    "family._target_": Key("weights"),
    "family.uses_pattern": Key("nothing"),  # The value follows from the family.
    "family.condition_dropout": Key("weights", low=0, high=1),
    "family.condition_dropout_per": _option("step"),
    "family.level_dropout": Key("weights", low=0, high=1),
    "family.autoregressive_share": Key("weights", low=0, high=1),
    "family.context": Key("weights", optional=True),
    "family.span": Key("weights", low=1),
    "pattern.pattern": Key("weights"),
    "pattern.delays": Key("weights", example=[0, 1, 1, 1]),
    "pattern.positional": Key("weights", example="step"),
    "pattern.stride": Key("weights", example=2),
    "pattern.stream_0": Key("weights", example="full"),
    "pattern.same_step": Key("weights", example=True),
    "pattern.tail": _option("untrained"),  # Null is the trained tail, so that a training has one id.
    "schedule.schedule": Key("weights"),
    # A stranger's configuration must not fill the memory: the largest published models are below these bounds.
    "model.dim": Key("weights", low=1, high=1 << 16),
    "model.layers": Key("weights", low=1, high=1000),
    "model.heads": Key("weights", low=1, high=1 << 16),
    "model.dropout": Key("weights", low=0, high=1),
    "model.position": Key("weights"),
    "model.from_codebooks": Key("weights"),
    "model.null_caption": _option("zeros"),
    "model.text_padding": _option("zeros"),
    "model.text_fusion": _option("prepend"),
    "model.initialisation": _option("musicgen"),
    **_under("decode", _MASKED_SAMPLING),
    **_under("decode.masked", _MASKED_SAMPLING),
    **_under("decode.autoregressive", _SAMPLING),
    "decode.handover": Key("decoding"),
    "codec": Key("record", free=True),
    "text": Key("record", free=True),
    "judges.fad": Key("nothing", free=True),
    "judges.kld": Key("nothing", free=True),
    "judges.clap": Key("nothing", optional=True, free=True),
    "logger": Key("nothing", optional=True, free=True),
    "data.store": Key("nothing", optional=True),
    "data.seconds": Key("everything", above_zero=True),
    "data.melody": Key("everything", example="chroma", among=("chroma", "musicgen"), optional=True),
    "data.validation_per_piece": Key("everything", low=1),
    "data.workers": Key("nothing", low=0),
    "data.tag_merging": _share(0.25),
    "data.description_dropout": _share(0.5),
    "data.tag_dropout": _share(0.5),
    "data.word_dropout": _share(0.3),
    "data.tags": Key("weights", example=["key", "bpm"], optional=True),
    "data.caption_states": _option("batch"),
    "trainer.accelerator": Key("nothing"),
    "trainer.devices": Key("nothing"),
    "trainer.num_nodes": Key("nothing"),
    "trainer.strategy": Key("nothing"),
    "trainer.precision": Key("everything"),
    # The threading library ends the process if it gets too many.
    "trainer.threads": Key("nothing", low=1, high=4096, example=2),
    "trainer.kernels": Key("nothing", among=("auto", "plain")),
    "trainer.timeout": Key("nothing", low=1, example=600.0),
    "trainer.peak_flops": Key("nothing", low=1, example=1e14),
    "trainer.profile": Key("nothing", example=True),
    "evaluation.split": Key("evaluation"),
    "evaluation.seconds": Key("evaluation", above_zero=True),
    "evaluation.per_piece": Key("evaluation", low=1),
    "evaluation.melody": Key("evaluation", example="withheld", among=("compared", "withheld"), optional=True),
    "evaluation.batch_size": Key("evaluation", low=1),
    "evaluation.speed_batches": Key("evaluation", low=1),
    "evaluation.speed_repeats": Key("evaluation", low=1),
    "evaluation.samples": Key("nothing", low=0),
    "evaluation.clap_mini": Key("nothing", optional=True),
    "evaluation.reference": Key("nothing"),
    "evaluation.fadtk": Key("nothing", example=_FADTK),
    "evaluation.originals": Key("nothing"),
}
_EVALUATE = {
    "run": Key("nothing", example=_RUN_FOLDER),
    "system": Key("evaluation", example="unigram"),
    "prompts": Key("nothing", example="held_out.jsonl"),
    "audio": Key("nothing", example="clips"),
    "captions": Key("nothing", example="clips.csv"),
    "originals": Key("nothing", example="recordings"),
}
_PREPARE = {
    "stages": Key("nothing"),
    "manifest": Key("nothing", example="my/music.jsonl"),
    "store": Key("nothing"),
    "codec_output": Key("nothing"),
    "clap_output": Key("nothing"),
    "melody_from": Key("nothing", among=("recordings", "codes")),
    "codec_training": Key("nothing"),  # CodecTrainingConfig checks the bounds
    "clap_training": Key("nothing"),  # ClapConfig checks the bounds
    "hear.every_seconds": Key("nothing", above_zero=True),
    "hear.quantisers": Key("nothing", low=1),
    "hear.codes": Key("nothing", low=1),
    "corpus.folder": Key("nothing"),
    "corpus.packages": Key("nothing"),
    "corpus.soundfont": Key("nothing"),
    "corpus.hours": Key("nothing", above_zero=True),
    "corpus.workers": Key("nothing", low=1),
    "corpus.seed": Key("nothing", low=0),
    "corpus.channels": Key("nothing", low=1, high=2),
    "corpus.clips": Key("nothing", low=1, example=200),
}
_BENCH_AND_DOCTOR = {
    "clips": Key("nothing", low=1),
    "seconds": Key("nothing", above_zero=True),
    "sample_rate": Key("nothing", low=1),
    "repeats": Key("nothing", low=1),
    "matrix": Key("nothing", low=1),
    "fadtk": Key("nothing", example=_FADTK),
    "released": Key("nothing", example="models"),
    "names": Key("nothing"),
    "shapes": Key("nothing"),
    "engines": Key("nothing"),
    "batches": Key("nothing", low=1),
    "frames": Key("nothing", low=1, high=100_000, example=200),
    "rounds": Key("nothing", low=1),
    "shape": Key("nothing"),
    "folder": Key("nothing"),
    "check": Key("nothing"),
    "vary.frames": Key("nothing", low=1, high=100_000),
    "vary.batch": Key("nothing", low=1),
    "vary.levels": Key("nothing", low=1, high=8),
    "vary.shape": Key("nothing"),
    "precisions": Key("nothing", example=["32-true"]),
    "batch": Key("nothing", low=1),
    "steps": Key("nothing", low=1),
    "minutes": Key("nothing", low=0),
    "dtype": Key("nothing", example="fp32"),
    "threads": Key("nothing", low=1, high=4096, example=2),
}

KEYS: dict[str, Key] = {**_TRAIN, **_EVALUATE, **_PREPARE, **_BENCH_AND_DOCTOR}
"""The keys of all configurations, by dotted name."""

FREE = tuple(name for name, key in KEYS.items() if key.free)
"""Groups whose keys the chosen class defines."""
