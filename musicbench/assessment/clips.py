"""The clips that an evaluation asks for: held-out crops of the token store, or captions of the user's own."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from musicbench.data.audio_folder import Item
from musicbench.data.crops import Crop, evaluation_crops
from musicbench.data.module import crop_codes
from musicbench.errors import UserError
from musicbench.evaluation.judges.base import RESAMPLER, judge_facts
from musicbench.evaluation.metrics.kld import KLD_FACTS
from musicbench.evaluation.references.sets import ReferenceSet
from musicbench.runs.run import Assembly


class Asked(Protocol):
    """What was asked for: a caption for each of N clips."""

    run: Assembly
    ids: list[str]
    pieces: list[str]
    captions: list[str]
    originals_sha256: str | None

    def protocol(self, sampling: dict[str, Any] | None) -> dict[str, Any]:
        """The record's protocol: everything that changes a metric's value."""
        ...


class HeldOut:
    """The held-out crops of a configuration, with tokens and captions."""

    def __init__(self, run: Assembly) -> None:
        settings = run.config.evaluation
        self.run = run
        run.store.verify()  # the run's identity says which codes these are
        self.crops: list[Crop] = evaluation_crops(run.store, settings.split, settings.seconds, settings.per_piece)
        self.ids = [crop.id for crop in self.crops]
        self.captions = [crop.caption for crop in self.crops]
        self.pieces = [crop.piece for crop in self.crops]
        self.codes_NKT: Tensor = crop_codes(run.store, self.crops)
        self.frames = self.codes_NKT.shape[2]
        if run.clap is not None:
            run.clap.require_use(run.musicnn.sha256)
            run.clap.require_unheard(self.pieces)
            _ = run.clap_encoder  # a missing one, too, is told before anything is trained
        longest = max(judge.window_seconds for judge in run.listeners)
        if settings.seconds < longest:
            raise UserError(
                f"evaluation.seconds={settings.seconds:g} is shorter than a judge's window of {longest:g} s; raise it"
            )
        # What FAD and KLD are measured against, too, must be there before anything is trained.
        run.originals.reference_sha256(run.judges.fad)
        self.originals_sha256: str | None = run.originals.crops_sha256

    def protocol(self, sampling: dict[str, Any] | None) -> dict[str, Any]:
        settings = self.run.config.evaluation
        return {
            "split": settings.split,
            "clip_seconds": float(settings.seconds),
            "per_piece": settings.per_piece,
            "tokens_sha256": self.run.store.card["codes_sha256"],
            **judged_by(self),
            "sampling": sampling,
        }


class OwnCaptions:
    """Clips of a folder with captions that came with it.

    Args:
        seconds: length of every clip.
        originals_sha256: hash of their originals' files; None without any.
    """

    def __init__(
        self, run: Assembly, items: Sequence[Item], seconds: Sequence[float], originals_sha256: str | None
    ) -> None:
        self.run, self.seconds, self.originals_sha256 = run, seconds, originals_sha256
        self.ids = [item.id for item in items]
        self.pieces = [item.piece for item in items]
        self.captions = [item.caption or "" for item in items]

    def protocol(self, sampling: dict[str, Any] | None) -> dict[str, Any]:
        asked = json.dumps(sorted(zip(self.ids, self.pieces, self.captions, self.seconds, strict=True)))
        alike = len(set(self.seconds)) == 1
        return {
            "split": "own",
            "clip_seconds": self.seconds[0] if alike else None,
            **({} if alike else {"seconds_range": [min(self.seconds), max(self.seconds)]}),
            "per_piece": None,
            "tokens_sha256": None,
            "captions_sha256": hashlib.sha256(asked.encode()).hexdigest(),
            **judged_by(self),
            "sampling": sampling,
        }


def judged_by(asked: Asked) -> dict[str, Any]:
    """The part of a protocol that is alike for all clips: who judges them, and against what."""
    run = asked.run
    clap = {"clap_mini": run.clap.facts()} if run.clap is not None else {}
    return {
        "clips": len(asked.ids),
        "pieces": len(set(asked.pieces)),
        "codec": {"id": run.codec.id, "sha256": run.codec.sha256},
        "codec_reference": _facts(run.originals.codec_reference),
        "judges": {role: judge_facts(judge) for role, judge in run.judges.roles.items()},
        "reference": _facts(run.originals.reference(run.judges.fad)),
        **clap,
        "originals_sha256": asked.originals_sha256,
        "audio": {"channels": "averaged", "loudness": "unchanged", "resampler": RESAMPLER},
        "kld": KLD_FACTS,
    }


def _facts(reference: ReferenceSet) -> dict[str, Any]:
    facts = {"id": reference.id, "windows": reference.windows, "sha256": reference.sha256}
    return {**facts, "note": reference.note} if reference.note else facts


def write_prompts(held: HeldOut, path: Path) -> None:
    """The held-out captions as JSON lines, for systems that musicbench cannot run.

    ``audio`` is the name that the folder given to ``evaluate audio=FOLDER`` must have for each.
    """
    from musicbench.files import atomic_path
    from musicbench.study.samples import sample_name

    lines = [
        json.dumps(
            {
                "audio": f"{sample_name(crop.id)}.wav",
                "text": crop.caption,
                "seconds": crop.frames / held.run.store.frame_rate,
            }
        )
        for crop in held.crops
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
