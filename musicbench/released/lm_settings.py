"""What audiocraft's configuration says of a language model: MusicGen, or MAGNeT."""

from typing import Any, Literal

from musicbench.errors import UserError
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling
from musicbench.released import melody
from musicbench.released.musicgen_config import STEREO, USUAL
from musicbench.released.package import value_of

FAMILIES: dict[str, Literal["autoregressive", "magnet"]] = {
    "transformer_lm": "autoregressive",
    "transformer_lm_magnet": "magnet",
}

TRANSFORMER = {
    "norm_first": True,
    "norm": "layer_norm",
    "activation": "gelu",
    "hidden_scale": 4,
    "bias_ff": False,
    "bias_attn": False,
    "bias_proj": False,
    "past_context": None,
    "layer_scale": None,
    "positional_embedding": "sin",
    "max_period": 10000,
    "positional_scale": 1.0,
    "qk_layer_norm": False,
    "qk_layer_norm_cross": False,
    "kv_repeat": 1,
}
"""Keys of ``transformer_lm`` that our network has no choice for, with what it does; a file need not have them."""

ENTRY = {
    "cross_attention_pos_emb": False,
    "sum": [],
    "prepend": [],
    "cross": ["description"],
    "input_interpolate": [],
    "ignore": [],
}
"""Keys of ``fuser``, likewise: the caption alone enters, by cross-attention."""

OTHERS = (
    *("dim", "num_heads", "num_layers", "n_q", "card", "causal", "q_modeling"),
    *("subcodes_context", "span_len", "segment_duration", "compression_model_framerate"),
    # Of training and of speed, or of what the keys above leave out.
    *("dropout", "attention_dropout", "emb_lr", "lr", "weight_decay", "weight_init", "depthwise_init"),
    *("zero_bias_init", "custom", "memory_efficient", "attention_as_float32", "checkpointing", "cross_attention"),
    *("two_step_cfg", "xpos", "cross_attention_pos_emb_scale"),
)
"""Keys of both that are read elsewhere, or change nothing."""

SPAN_SCORES = {"max": "max", "prod": "product"}


def family_of(settings: Any, source: str) -> Literal["autoregressive", "magnet"]:
    """Return the family of a model that our network computes.

    Args:
        settings: plain values of audiocraft's ``xp.cfg``.
        source: where they come from, for messages.

    Raises:
        UserError: our network does not compute it; the message names the key and its value.
    """
    kind = value_of(settings, "lm_model", source, default="transformer_lm")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise UserError(f"{source}: lm_model={kind} is neither {' nor '.join(FAMILIES)}")
    entry = {**ENTRY, **melody.FUSER} if melody.tells_melodies(settings, source) else ENTRY
    for group, fixed in (("transformer_lm", TRANSFORMER), ("fuser", entry)):
        if not isinstance(keys := value_of(settings, group, source), dict):
            raise UserError(f"{source}: {group}={keys} is no mapping; give a checkpoint that audiocraft exported")
        for key in keys:
            if key not in fixed and key not in OTHERS:
                raise UserError(f"{source}: {group}.{key} is unknown here, so the model may be another than it seems")
        for key, wanted in fixed.items():
            _require(settings, f"{group}.{key}", wanted, source)
    _require(settings, "transformer_lm.causal", FAMILIES[kind] == "autoregressive", source)
    _require(settings, "conditioners.description.model", "t5", source)
    return FAMILIES[kind]


def pattern_of(settings: Any, levels: int, source: str) -> str:
    """Return the option of ``conf/pattern`` for the order in which tokens are drawn.

    Raises:
        UserError: it is none of MusicGen's.
    """
    modeling = value_of(settings, "codebooks_pattern.modeling", source, default=None)
    modeling = modeling or value_of(settings, "transformer_lm.q_modeling", source, default=None)
    delays = value_of(settings, f"codebooks_pattern.{modeling}.delays", source, default=None)
    delays = list(range(levels)) if delays is None else delays
    for key in ("flatten_first", "empty_initial"):
        _require(settings, f"codebooks_pattern.{modeling}.{key}", 0, source)
    orders = {"delay": list(range(levels)), STEREO: [level // 2 for level in range(levels)]}
    if modeling == "delay" and delays in orders.values():
        return next(name for name, order in orders.items() if order == delays)
    raise UserError(f"{source}: codebooks_pattern {modeling} with delays {delays} is none of MusicGen's")


def sampling_of(settings: Any, source: str) -> dict[str, Any]:
    """Return settings of ``Sampling``: the paper's, with the guidance of the file.

    What the file says of top-k is how its training listened to itself, and the released code does not read it.

    Raises:
        UserError: they are none.
    """
    key = "classifier_free_guidance.inference_coef"
    sampling = {**USUAL, "cfg": value_of(settings, key, source, default=USUAL["cfg"])}
    return _checked(Sampling, sampling, source)


def masked_sampling_of(settings: Any, levels: int, span: int, source: str) -> dict[str, Any]:
    """Return settings of ``MaskedSampling``: those of the file, and of the paper (arXiv 2401.04577) where it has none.

    Raises:
        UserError: they are none.
    """

    def get(key: str, default: Any) -> Any:
        return value_of(settings, f"generate.lm.{key}", source, default=default)

    score = str(get("span_scoring", "max"))
    first = 60 if seconds_of(settings, source) > 10 else 20
    sampling = {
        "iterations": get("decoding_steps", [first] + [10] * (levels - 1)),
        "span": span,
        "spans": get("span_arrangement", "nonoverlap"),
        "span_score": SPAN_SCORES.get(score, score),
        "cfg": get("max_cfg_coef", 10.0),
        "cfg_final": get("min_cfg_coef", 1.0),
        "temperature": get("temp", 3.0),
        "anneal": "linear" if get("anneal_temp", True) else "constant",
        "top_p": get("top_p", 0.9) or 1.0,
        "top_k": 0 if get("top_p", 0.9) else get("top_k", 0),
        "prompt_upper_levels": "shown",
        "remasking": "released",
    }
    return _checked(MaskedSampling, sampling, source)


def seconds_of(settings: Any, source: str) -> float:
    """Return the length of the clips that a model was trained on.

    Raises:
        UserError: it is no number.
    """
    seconds = value_of(settings, "dataset.segment_duration", source, default=30)
    if not isinstance(seconds, int | float) or not seconds > 0:
        raise UserError(f"{source}: dataset.segment_duration={seconds} is no length of clips")
    return float(seconds)


def _require(settings: Any, key: str, wanted: Any, source: str) -> None:
    if (value := value_of(settings, key, source, default=wanted)) != wanted:
        raise UserError(f"{source}: {key}={value} is not what our network computes, which is {wanted}")


def _checked(kind: Any, sampling: dict[str, Any], source: str) -> dict[str, Any]:
    try:
        kind(**sampling)
    except (ValueError, TypeError) as error:
        raise UserError(f"{source}: its settings of generation cannot be ({error})") from error
    return sampling
