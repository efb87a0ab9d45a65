"""The clips that an evaluation asks for: held-out crops of the token store, or captions of the user's own."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from musicbench.data.audio_folder import Item
from musicbench.data.crop_codes import crop_codes
from musicbench.data.crops import Crop
from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import judge_facts
from musicbench.evaluation.judges.base import RESAMPLER
from musicbench.evaluation.metrics.kld import KLD_FACTS
from musicbench.evaluation.references.sets import ReferenceSet
from musicbench.files import atomic_path
from musicbench.runs.jury import Jury
from musicbench.study.samples import sample_name


class ClipRequest(Protocol):
    """The clips that an evaluation asks for: N clips with a caption each."""

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def pieces(self) -> Sequence[str]: ...

    @property
    def captions(self) -> Sequence[str]: ...

    @property
    def originals_sha256(self) -> str | None:
        """Hash of the originals of the clips; None if the clips have no originals."""
        ...

    def protocol(self) -> dict[str, Any]:
        """The part of a record's protocol that describes the clips."""
        ...


@dataclass(frozen=True)
class HeldOut:
    """The held-out crops of a configuration, with tokens and captions.

    Attributes:
        settings: the configuration's ``evaluation``.
        codes_NKT: tokens of the crops, int64.
        frame_rate: frames per second.
        tokens_sha256, originals_sha256: hashes of the store's codes, and of the crops' originals.
        tunes: melody of each crop, uint8 [M]; None: nobody asks for it.
        tells_tunes: whether the system that makes the clips is told them.
    """

    settings: DictConfig
    crops: Sequence[Crop]
    codes_NKT: Tensor
    frame_rate: float
    tokens_sha256: str
    originals_sha256: str | None
    tunes: Sequence[np.ndarray] | None = None
    tells_tunes: bool = False

    @property
    def melodies(self) -> Sequence[np.ndarray] | None:
        """What the system is told of melodies."""
        return self.tunes if self.tells_tunes else None

    @cached_property
    def ids(self) -> list[str]:
        return [crop.id for crop in self.crops]

    @cached_property
    def pieces(self) -> list[str]:
        return [crop.piece for crop in self.crops]

    @cached_property
    def captions(self) -> list[str]:
        return [crop.caption for crop in self.crops]

    @property
    def frames(self) -> int:
        """Clip length T."""
        return self.codes_NKT.shape[2]

    def protocol(self) -> dict[str, Any]:
        return {
            "split": self.settings.split,
            "clip_seconds": float(self.settings.seconds),
            "per_piece": self.settings.per_piece,
            "tokens_sha256": self.tokens_sha256,
        }


@dataclass(frozen=True)
class OwnCaptions:
    """Clips of a folder with captions that came with it.

    Attributes:
        seconds: length of every clip.
    """

    items: Sequence[Item]
    seconds: Sequence[float]
    originals_sha256: str | None

    @cached_property
    def ids(self) -> list[str]:
        return [item.id for item in self.items]

    @cached_property
    def pieces(self) -> list[str]:
        return [item.piece for item in self.items]

    @cached_property
    def captions(self) -> list[str]:
        return [item.caption or "" for item in self.items]

    def protocol(self) -> dict[str, Any]:
        asked = json.dumps(sorted(zip(self.ids, self.pieces, self.captions, self.seconds, strict=True)))
        alike = len(set(self.seconds)) == 1
        return {
            "split": "own",
            "clip_seconds": self.seconds[0] if alike else None,
            **({} if alike else {"seconds_range": [min(self.seconds), max(self.seconds)]}),
            "per_piece": None,
            "tokens_sha256": None,
            "captions_sha256": hashlib.sha256(asked.encode()).hexdigest(),
        }


def require_ready(jury: Jury) -> None:
    """Check that everything is there that the evaluation of held-out clips needs, before anything is trained.

    Raises:
        UserError: the store is damaged, a judge is missing or may not judge these clips, or what clips are measured
            against is not there.
    """
    settings, store, files = jury.config.evaluation, jury.parts.store, jury.originals.files
    crops = files.crops
    store.verify()  # The run's id names the codes by their hash.
    crop_codes(store, crops)
    if jury.clap is not None:
        jury.clap.require_use(jury.musicnn.sha256)
        jury.clap.require_unheard(crop.piece for crop in crops)
        _ = jury.clap_encoder
    _ = jury.latents
    longest = max(judge.window_seconds for judge in jury.listeners)
    lasting = min(crop.frames for crop in crops) / store.frame_rate
    if lasting < longest - 1e-9:
        raise UserError(
            f"evaluation.seconds={settings.seconds:g} gives clips of {lasting:.4g} s, shorter than a judge's window of "
            f"{longest:g} s; raise it"
        )
    files.reference_sha256(jury.judges.fad)
    files.crops_sha256(jury.judges.roles.values())


def held_out(jury: Jury) -> HeldOut:
    """The held-out crops that a jury is to judge.

    Raises:
        UserError: see ``require_ready``.
    """
    require_ready(jury)
    store, files = jury.parts.store, jury.originals.files
    return HeldOut(
        jury.config.evaluation,
        files.crops,
        crop_codes(store, files.crops),
        store.frame_rate,
        store.card["codes_sha256"],
        files.crops_sha256(jury.judges.roles.values()),
        **_tunes(jury),
    )


def tells_melodies(config: DictConfig) -> bool:
    """Whether clips of the configuration are told their melodies in evaluation."""
    withheld = config.evaluation.melody == "withheld" or config.get("system")
    return config.data.melody is not None and not withheld


def _tunes(jury: Jury) -> dict[str, Any]:
    """Whether clips are compared with melodies, and systems told them."""
    config = jury.config
    if config.data.melody is None and config.evaluation.melody is None:
        return {}
    melodies = jury.parts.contents.melodies
    return {"tunes": [melodies.of(crop) for crop in jury.originals.files.crops], "tells_tunes": tells_melodies(config)}


def judged_by(jury: Jury, clips: ClipRequest) -> dict[str, Any]:
    """Return the part of a protocol that all clips share: the judges and the references."""
    codec, judges, originals = jury.parts.codec, jury.judges, jury.originals
    stereo = {} if codec.channels == 1 else {"channels": codec.channels}
    clap = {"clap_mini": jury.clap.facts()} if jury.clap is not None else {}
    return {
        "clips": len(clips.ids),
        "pieces": len(set(clips.pieces)),
        "codec": {"id": codec.id, "sha256": codec.sha256, **stereo},
        "codec_reference": _facts(originals.codec_reference(jury.latents)),
        "judges": {role: judge_facts(judge) for role, judge in judges.roles.items()},
        "reference": _facts(originals.reference(judges.fad)),
        **clap,
        "originals_sha256": clips.originals_sha256,
        "audio": {"channels": "averaged", "loudness": "unchanged", "resampler": RESAMPLER},
        "kld": KLD_FACTS,
    }


def _facts(reference: ReferenceSet) -> dict[str, Any]:
    facts = {"id": reference.id, "windows": reference.windows, "sha256": reference.sha256}
    return {**facts, "note": reference.note} if reference.note else facts


def write_prompts(clips: HeldOut, path: Path) -> None:
    """The held-out captions as JSON lines, for systems that musicbench cannot run.

    ``audio`` is the name that the folder given to ``evaluate audio=FOLDER`` must have for each.
    """
    lines = [
        json.dumps(
            {
                "audio": f"{sample_name(crop.id)}.wav",
                "text": crop.caption,
                "seconds": crop.frames / clips.frame_rate,
            }
        )
        for crop in clips.crops
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
