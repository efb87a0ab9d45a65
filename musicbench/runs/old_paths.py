"""Read older run folders, whose configurations and ids name classes by import path."""

from typing import Any

from musicbench.named_code import TARGET
from musicbench.runs.keys import KEYS

MOVED = {
    "musicbench.commands.tracker.Tracker": "musicbench.tracking.wandb_run.Tracker",
    "musicbench.models.hybrid_decode.HybridSampling": "musicbench.models.hybrid.HybridSampling",
    "musicbench.models.masked_sampling.MaskedSampling": "musicbench.models.masked.sampling.MaskedSampling",
    "musicbench.text.encoder.TransformersEncoder": "musicbench.conditions.text.TransformersEncoder",
}
"""Present import path of each class, by the path that older folders name."""

_JUDGE_SET = "musicbench.evaluation.judge_set.JudgeSet"
"""What made the set of judges, which follows from its judges."""

_WITHOUT_PATTERN = "musicbench.generators.masked.MagnetLM"


def renewed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run folder with today's names and keys; today's configurations stay as they are."""
    content = _renamed(content, MOVED)
    family = content.get("family")
    family = family if isinstance(family, dict) else {}
    if str(family.get(TARGET)).startswith("musicbench.generators.") and "uses_pattern" not in family:
        content["family"] = {**family, "uses_pattern": family[TARGET] != _WITHOUT_PATTERN}
    if isinstance(content.get("trainer"), dict):
        content["trainer"] = {"kernels": "auto", **content["trainer"]}
    for group in ("data", "evaluation", "training"):
        if isinstance(content.get(group), dict):
            # A key that is null as shipped changes nothing, so that an older folder may lack it.
            content[group] = {**_shipped_null(group), **content[group]}
    judges = content.get("judges")
    if isinstance(judges, dict) and judges.get(TARGET) == _JUDGE_SET:
        content["judges"] = {role: judge for role, judge in judges.items() if role != TARGET}
    return content


def _shipped_null(group: str) -> dict[str, None]:
    """The keys of a group that are null as shipped."""
    return {
        name.partition(".")[2]: None
        for name, key in KEYS.items()
        if name.startswith(f"{group}.") and key.example is not None
    }


def former(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration in the form that older versions hashed: with the import paths of its classes."""
    content: dict[str, Any] = _renamed(config, {now: then for then, now in MOVED.items()})
    content["family"] = {key: value for key, value in content["family"].items() if key != "uses_pattern"}
    return content


def _renamed(tree: Any, names: dict[str, str]) -> Any:
    if isinstance(tree, dict):
        return {
            key: names.get(value, value) if key == TARGET and isinstance(value, str) else _renamed(value, names)
            for key, value in tree.items()
        }
    return [_renamed(item, names) for item in tree] if isinstance(tree, list) else tree
