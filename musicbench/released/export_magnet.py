"""Write a masked model as audiocraft stores MAGNeT."""

import re
from pathlib import Path
from typing import Any

import yaml

from musicbench import torch_files
from musicbench.errors import UserError
from musicbench.files import atomic_folder
from musicbench.generators.masked import MagnetLM
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.released.audiocraft import CODEC_FILE, LM_FILE, lm_groups
from musicbench.released.layout import Layout
from musicbench.released.lm_settings import ENTRY, SPAN_SCORES, TRANSFORMER
from musicbench.released.package import CONFIG, STATE
from musicbench.released.surroundings import Surroundings

KNOWN_T5 = re.compile(r"(?:google-t5/)?(t5-(?:small|base|large|3b|11b)|google/flan-t5-(?:small|base|large|xl|xxl))")
"""The text encoders that audiocraft makes, by names of the model hub; T5's first ones have no owner there."""

ANNEAL = {"linear": True, "constant": False}


def write_magnet(module: MagnetLM, sampling: MaskedSampling, around: Surroundings, folder: Path) -> list[str]:
    """Write ``state_dict.bin``.

    Args:
        folder: must not exist yet, or be empty.

    Returns:
        What a user should know of the checkpoint, a line each.

    Raises:
        UserError: audiocraft cannot express the settings of decoding; the line says what to change.
    """
    lm = module.lm
    if sampling.anneal not in ANNEAL:
        raise UserError(f"decode.anneal={sampling.anneal} cannot be exported; audiocraft has {' and '.join(ANNEAL)}")
    if sampling.rescored:
        raise UserError("a rescorer cannot be exported; set decode.rescore=1")
    if sampling.top_k and sampling.top_p < 1:
        raise UserError("decode.top_p cannot be exported beside decode.top_k; audiocraft has one of both")
    layout = Layout(lm_groups(lm.levels, len(lm.transformer.blocks)), lm)
    # Copies, because a file of torch holds the whole memory of which a tensor is a part.
    state = {name: tensor.clone() for name, tensor in layout.to_theirs(lm)}
    described = yaml.safe_dump(_settings(lm, sampling, around))
    with atomic_folder(folder) as temporary:
        torch_files.save({STATE: state, CONFIG: described, "exported": True}, temporary / LM_FILE)
    notes = [f"audiocraft also wants {CODEC_FILE} of the codec in {folder}"]
    if not KNOWN_T5.fullmatch(around.encoder.id):
        notes.append(f"audiocraft makes text encoders of T5 alone, by name, and not {around.encoder.id}")
    if sampling.remasking is None:
        notes.append("audiocraft masks again as decode.remasking=released does, which may give other tokens")
    return notes


def _settings(lm: MaskedLM, sampling: MaskedSampling, around: Surroundings) -> dict[str, Any]:
    """What audiocraft needs to make the model and to generate with it."""
    known = KNOWN_T5.fullmatch(around.encoder.id)
    name = known[1] if known else around.encoder.id
    score = next(theirs for theirs, ours in SPAN_SCORES.items() if ours == sampling.span_score)
    return {
        "solver": "magnet",
        "channels": around.channels,
        "lm_model": "transformer_lm_magnet",
        "dataset": {"segment_duration": around.seconds},
        "classifier_free_guidance": {"training_dropout": 0.0, "inference_coef": sampling.cfg},
        "attribute_dropout": {},
        "fuser": {**ENTRY, "cross_attention_pos_emb_scale": 1},
        "conditioners": {
            "description": {
                "model": "t5",
                "t5": {"name": name, "finetune": False, "word_dropout": 0.0, "normalize_text": False},
            }
        },
        "codebooks_pattern": {"modeling": "parallel", "parallel": {"empty_initial": -1}},
        "masking": {"span_len": sampling.span},
        "transformer_lm": {
            **TRANSFORMER,
            "dim": lm.dim,
            "num_heads": lm.transformer.heads,
            "num_layers": len(lm.transformer.blocks),
            "n_q": lm.levels,
            "card": lm.codebook_size,
            "dropout": 0.0,
            "causal": False,
            "memory_efficient": True,
            "subcodes_context": -1 if lm.context is None else lm.context,
            "compression_model_framerate": int(around.frame_rate),
        },
        "generate": {
            "lm": {
                "use_sampling": sampling.temperature > 0,
                "temp": sampling.temperature,
                "top_k": sampling.top_k,
                "top_p": sampling.top_p if sampling.top_p < 1 else 0.0,
                "max_cfg_coef": sampling.cfg,
                "min_cfg_coef": sampling.cfg_final,
                "decoding_steps": list(sampling.iterations),
                "anneal_temp": ANNEAL[sampling.anneal],
                "span_scoring": score,
                "span_arrangement": sampling.spans,
            }
        },
    }
