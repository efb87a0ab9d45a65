"""Run folders of before code was named by option: where their classes are now, and the ids that they were given."""

from typing import Any

from musicbench.named_code import TARGET

MOVED = {
    "musicbench.commands.tracker.Tracker": "musicbench.tracking.wandb_run.Tracker",
    "musicbench.models.hybrid_decode.HybridSampling": "musicbench.models.hybrid.HybridSampling",
    "musicbench.models.masked_sampling.MaskedSampling": "musicbench.models.masked.sampling.MaskedSampling",
    "musicbench.text.encoder.TransformersEncoder": "musicbench.conditions.text.TransformersEncoder",
}
"""Classes that such a folder names, by their paths then, and their paths now."""

_JUDGE_SET = "musicbench.evaluation.judge_set.JudgeSet"
"""What made the set of judges, which follows from its judges."""

_WITHOUT_PATTERN = "musicbench.generators.masked.MagnetLM"


def renewed(content: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run folder with the names and keys of today; one of today is left as it is."""
    content = _renamed(content, MOVED)
    family = content.get("family")
    family = family if isinstance(family, dict) else {}
    if str(family.get(TARGET)).startswith("musicbench.generators.") and "uses_pattern" not in family:
        content["family"] = {**family, "uses_pattern": family[TARGET] != _WITHOUT_PATTERN}
    judges = content.get("judges")
    if isinstance(judges, dict) and judges.get(TARGET) == _JUDGE_SET:
        content["judges"] = {role: judge for role, judge in judges.items() if role != TARGET}
    return content


def former(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it was hashed then: with the paths of its classes."""
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
