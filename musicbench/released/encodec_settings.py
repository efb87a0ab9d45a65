"""What audiocraft's configuration says of an EnCodec, as the configuration of transformers."""

import math
from typing import Any

from transformers import EncodecConfig

from musicbench.errors import UserError
from musicbench.released.package import value_of

SIZES = {
    "sampling_rate": "encodec.sample_rate",
    "audio_channels": "seanet.channels",
    "use_causal_conv": "seanet.causal",
    "hidden_size": "seanet.dimension",
    "num_filters": "seanet.n_filters",
    "num_residual_layers": "seanet.n_residual_layers",
    "upsampling_ratios": "seanet.ratios",
    "kernel_size": "seanet.kernel_size",
    "residual_kernel_size": "seanet.residual_kernel_size",
    "last_kernel_size": "seanet.last_kernel_size",
    "dilation_growth_rate": "seanet.dilation_base",
    "pad_mode": "seanet.pad_mode",
    "compress": "seanet.compress",
    "num_lstm_layers": "seanet.lstm",
    "codebook_size": "rvq.bins",
}
"""Keys of transformers' configuration that audiocraft's has under other names."""

FIXED = {
    "compression_model": "encodec",
    "encodec.autoencoder": "seanet",
    "encodec.quantizer": "rvq",
    "encodec.renormalize": False,
    "seanet.activation": "ELU",
    "seanet.activation_params": {"alpha": 1.0},
    "seanet.norm": "weight_norm",
    "seanet.norm_params": {},
    "seanet.disable_norm_outer_blocks": 0,
    "seanet.encoder": {},
    "seanet.decoder.final_activation": None,
}
"""Keys that transformers' EnCodec has no choice for, with what it does; a file need not have them."""

OTHERS = (
    "encodec.channels",
    "encodec.causal",
    "encodec.renorm",
    "seanet.true_skip",
    "seanet.decoder.trim_right_ratio",
    "seanet.decoder.final_activation_params",
)
"""Keys that are read elsewhere, or change nothing."""


def encodec_config(settings: Any, source: str) -> dict[str, Any]:
    """Return the configuration of transformers for the one of audiocraft.

    Args:
        settings: plain values of audiocraft's ``xp.cfg``, with its references such as ``${channels}``.
        source: where they come from, for errors.

    Raises:
        UserError: a key is missing, or has a value that transformers' EnCodec does not compute.
    """
    for key, wanted in FIXED.items():
        if (value := value_of(settings, key, source, default=wanted)) != wanted:
            raise UserError(f"{source}: {key}={value} is not what transformers' EnCodec computes, which is {wanted}")
    known = {*SIZES.values(), *FIXED, *OTHERS}
    for group in ("encodec", "seanet", "seanet.decoder"):
        for key in value_of(settings, group, source):
            if not any(f"{name}.".startswith(f"{group}.{key}.") for name in known):
                raise UserError(f"{source}: {group}.{key} is unknown here, so the codec may be another than it seems")
    config = {ours: value_of(settings, theirs, source) for ours, theirs in SIZES.items()}
    config["use_conv_shortcut"] = not value_of(settings, "seanet.true_skip", source)
    config["trim_right_ratio"] = value_of(settings, "seanet.decoder.trim_right_ratio", source, default=1.0)
    levels = value_of(settings, "rvq.n_q", source)
    try:
        frame_rate = math.ceil(config["sampling_rate"] / math.prod(config["upsampling_ratios"]))
        config["target_bandwidths"] = [_bandwidth(levels * frame_rate * math.ceil(math.log2(config["codebook_size"])))]
        made = EncodecConfig(**config)
    except Exception as error:  # Wrong types and values fail in many ways.
        raise UserError(f"{source}: its xp.cfg describes no EnCodec ({' '.join(str(error).split())[:200]})") from error
    if made.num_quantizers != levels or made.num_lstm_layers < 1:
        raise UserError(
            f"{source}: transformers' EnCodec has no rvq.n_q={levels} with seanet.lstm={made.num_lstm_layers}"
        )
    return {"model_type": "encodec", "norm_type": "weight_norm", "normalize": False, **config}


def _bandwidth(bits_per_second: int) -> float:
    """Return kbit/s from which transformers computes exactly these bits again."""
    rounded = bits_per_second / 1000
    return rounded if 1000 * rounded >= bits_per_second else math.nextafter(rounded, math.inf)
