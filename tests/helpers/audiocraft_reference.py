"""audiocraft's MusicGen and MAGNeT from their published code's rules, clip by clip and head by head: slow and plain.

Shape suffixes: B batch, K levels, S steps or frames, V codebook size, D width, E width of a text encoder's states,
L tokens of a caption with its padding, U spans.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from musicbench.models.conditions import Conditions

TEXT = "condition_provider.conditioners.description.output_proj"
OPEN = -1e4
"""The score of a span that is not to be masked again."""


def random_state(levels: int, size: int, dim: int, layers: int, text_dim: int, seed: int = 0) -> dict[str, Tensor]:
    """Random weights by audiocraft's names, with attention far from uniform."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float) -> Tensor:
        return torch.randn(*shape, generator=random) * std

    def matrix(rows: int, columns: int) -> Tensor:
        return normal(rows, columns, std=1.5 * columns**-0.5)

    def norm(name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + normal(dim, std=0.1), f"{name}.bias": normal(dim, std=0.1)}

    state = {f"emb.{k}.weight": normal(size + 1, dim, std=1.0) for k in range(levels)}
    state |= {f"{TEXT}.weight": matrix(dim, text_dim), f"{TEXT}.bias": normal(dim, std=0.3)}
    for i in range(layers):
        layer = f"transformer.layers.{i}"
        for attention in ("self_attn", "cross_attention"):
            state[f"{layer}.{attention}.in_proj_weight"] = matrix(3 * dim, dim)
            state[f"{layer}.{attention}.out_proj.weight"] = matrix(dim, dim)
        state[f"{layer}.linear1.weight"], state[f"{layer}.linear2.weight"] = matrix(4 * dim, dim), matrix(dim, 4 * dim)
        for name in ("norm1", "norm_cross", "norm2"):
            state |= norm(f"{layer}.{name}")
    state |= norm("out_norm")
    # Quiet, or many tokens would be as sure as can be, and which of them are masked again would be arbitrary.
    return state | {f"linears.{k}.weight": 0.3 * matrix(size, dim) for k in range(levels)}


def settings(state: dict[str, Tensor], heads: int, magnet: bool = False, **changes: Any) -> dict[str, Any]:
    """The parts of ``xp.cfg`` that describe a language model; dotted names change single keys."""
    levels = sum(name.startswith("linears.") for name in state)
    size, dim = state["linears.0.weight"].shape
    content: dict[str, Any] = {
        "solver": "magnet" if magnet else "musicgen",
        "sample_rate": 32000,
        "channels": 1,
        "lm_model": "transformer_lm_magnet" if magnet else "transformer_lm",
        "dataset": {"segment_duration": 10 if magnet else 30, "batch_size": 192},
        "classifier_free_guidance": {"training_dropout": 0.3, "inference_coef": 3.0},
        "attribute_dropout": {},
        "fuser": {
            "cross_attention_pos_emb": False, "cross_attention_pos_emb_scale": 1, "sum": [], "prepend": [],
            "cross": ["description"], "input_interpolate": [],
        },
        "conditioners": {
            "description": {
                "model": "t5",
                "t5": {"name": "t5-base", "finetune": False, "word_dropout": 0.3, "normalize_text": False},
            }
        },
        "codebooks_pattern": {
            "modeling": "parallel" if magnet else "delay",
            "delay": {"delays": list(range(levels)), "flatten_first": 0, "empty_initial": 0},
            "parallel": {"empty_initial": -1},
        },
        "transformer_lm": {
            "dim": dim, "num_heads": heads, "num_layers": layers_of(state), "hidden_scale": 4, "n_q": levels,
            "card": size, "dropout": 0.0, "emb_lr": None, "activation": "gelu", "norm_first": True, "bias_ff": False,
            "bias_attn": False, "bias_proj": False, "past_context": None, "causal": not magnet, "custom": False,
            "memory_efficient": True, "attention_as_float32": False, "layer_scale": None,
            "positional_embedding": "sin", "xpos": False, "checkpointing": "none", "weight_init": "gaussian",
            "depthwise_init": "current", "zero_bias_init": True, "norm": "layer_norm", "cross_attention": False,
            "qk_layer_norm": False, "qk_layer_norm_cross": False, "attention_dropout": None, "kv_repeat": 1,
            "two_step_cfg": False,
        },
        "generate": {"lm": {"use_sampling": True, "top_k": 250, "top_p": 0.0}},
    }  # fmt: skip
    if magnet:
        content["masking"] = {"span_len": 3}
        content["transformer_lm"] |= {"subcodes_context": 5, "span_len": -1, "segment_duration": 0}
        content["generate"]["lm"] = {
            "use_sampling": True, "temp": 3.0, "top_k": 0, "top_p": 0.9, "max_cfg_coef": 10.0, "min_cfg_coef": 1.0,
            "decoding_steps": [20] + [10] * (levels - 1), "anneal_temp": True, "span_scoring": "max",
            "span_arrangement": "nonoverlap",
        }  # fmt: skip
    for key, value in changes.items():
        *groups, last = key.split(".")
        place = content
        for group in groups:
            place = place[group]
        place[last] = value
    return content


def save_state(folder: Path, state: Any, described: dict[str, Any]) -> Path:
    """Write ``state_dict.bin`` as audiocraft exports it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"best_state": state, "xp.cfg": yaml.safe_dump(described), "version": "1.3.0", "exported": True}
    torch.save(content, folder / "state_dict.bin")
    return folder


def layers_of(state: dict[str, Tensor]) -> int:
    return sum(name.endswith("linear1.weight") for name in state)


def text_of(state: dict[str, Tensor], conditions: Conditions) -> Tensor:
    """What captions are to cross-attention, [B, L, D]: zero vectors behind their end, all of which are seen."""
    states_BLE, mask_BL = conditions.text
    rows_BLD = states_BLE @ state[f"{TEXT}.weight"].T + state[f"{TEXT}.bias"]
    return torch.where(mask_BL[..., None], rows_BLD, torch.zeros(()))


def logits(state: dict[str, Tensor], heads: int, ids_KS: Tensor, text_LD: Tensor, seen_SS: Tensor) -> Tensor:
    """Logits [K, S, V] of one clip.

    Args:
        ids_KS: what is read at each step, V where nothing is.
        seen_SS: True where a row attends to a column.
    """
    x_SD = sum(state[f"emb.{k}.weight"][ids_S] for k, ids_S in enumerate(ids_KS))
    steps, dim = x_SD.shape
    rate = 10000.0 ** (torch.arange(dim // 2) / (dim // 2 - 1))
    phase = torch.arange(steps)[:, None] / rate
    x_SD = x_SD + torch.cat([phase.cos(), phase.sin()], 1)

    def norm(name: str, rows: Tensor) -> Tensor:
        mean, variance = rows.mean(-1, keepdim=True), rows.var(-1, unbiased=False, keepdim=True)
        return (rows - mean) / (variance + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]

    def attention(name: str, rows: Tensor, others: Tensor, seen: Tensor) -> Tensor:
        wq, wk, wv = state[f"{name}.in_proj_weight"].chunk(3)
        width = dim // heads
        parts = []
        for h in range(heads):
            cut = slice(h * width, (h + 1) * width)
            scores = (rows @ wq[cut].T) @ (others @ wk[cut].T).T / math.sqrt(width)
            parts.append(torch.softmax(scores.masked_fill(~seen, -torch.inf), -1) @ (others @ wv[cut].T))
        return torch.cat(parts, -1) @ state[f"{name}.out_proj.weight"].T

    all_SL = torch.ones(steps, len(text_LD), dtype=torch.bool)
    for i in range(layers_of(state)):
        layer = f"transformer.layers.{i}"
        own_SD = norm(f"{layer}.norm1", x_SD)
        x_SD = x_SD + attention(f"{layer}.self_attn", own_SD, own_SD, seen_SS)
        x_SD = x_SD + attention(f"{layer}.cross_attention", norm(f"{layer}.norm_cross", x_SD), text_LD, all_SL)
        wide = norm(f"{layer}.norm2", x_SD) @ state[f"{layer}.linear1.weight"].T
        wide = wide * 0.5 * (1 + torch.erf(wide / math.sqrt(2)))
        x_SD = x_SD + wide @ state[f"{layer}.linear2.weight"].T
    x_SD = norm("out_norm", x_SD)
    levels = sum(name.startswith("linears.") for name in state)
    return torch.stack([x_SD @ state[f"linears.{k}.weight"].T for k in range(levels)])


def delayed_logits(
    state: dict[str, Tensor], heads: int, codes_KT: Tensor, text_LD: Tensor, delays: Sequence[int]
) -> Tensor:
    """MusicGen's logits [K, T, V] of a clip whose level k is ``delays[k]`` steps late."""
    size = len(state["linears.0.weight"])
    levels, frames = codes_KT.shape
    ids_KS = torch.full((levels, frames + max(delays)), size)
    for k, late in enumerate(delays):
        ids_KS[k, late + 1 : late + 1 + frames] = codes_KT[k, : ids_KS.shape[1] - late - 1]
    causal_SS = torch.ones(ids_KS.shape[1], ids_KS.shape[1], dtype=torch.bool).tril()
    found = logits(state, heads, ids_KS, text_LD, causal_SS)
    return torch.stack([found[k, late : late + frames] for k, late in enumerate(delays)])


def level_logits(
    state: dict[str, Tensor], heads: int, codes_KT: Tensor, text_LD: Tensor, level: int, context: int
) -> Tensor:
    """MAGNeT's logits [T, V] of a level: those above 0 see ``context`` frames on each side, or all if it is -1."""
    frame_T = torch.arange(codes_KT.shape[1])
    near_TT = (frame_T[:, None] - frame_T).abs() <= context
    seen_TT = near_TT if level and context > -1 else torch.ones_like(near_TT)
    return logits(state, heads, codes_KT, text_LD, seen_TT)[level]


def magnet_greedy(
    state: dict[str, Tensor], heads: int, text_LD: Tensor, frames: int, lm: dict[str, Any], context: int, span: int
) -> Tensor:
    """The codes [K, T] of one clip by MAGNeT's iterations, the likeliest token at every draw.

    Args:
        frames: a multiple of the span.
        lm: settings ``generate.lm``.
    """
    size, levels = len(state["linears.0.weight"]), len(lm["decoding_steps"])
    codes_KT = torch.full((levels, frames), size)
    for level, count in enumerate(lm["decoding_steps"]):
        spans = frames // span
        score_U = torch.zeros(spans)
        for i, share in enumerate(torch.linspace(0, 1, count)):
            masked_share = torch.cos(share * math.pi * 0.5)
            masked = max(int((masked_share * spans).item()), 1)
            again_U = torch.zeros(spans, dtype=torch.bool)
            again_U[score_U.topk(masked).indices] = True
            codes_KT[level, again_U.repeat_interleave(span)] = size
            told, untold = (
                level_logits(state, heads, codes_KT, text, level, context)
                for text in (text_LD, torch.zeros_like(text_LD))
            )
            cfg = float(masked_share) * lm["max_cfg_coef"] + (1 - float(masked_share)) * lm["min_cfg_coef"]
            guided_TV = untold + (told - untold) * cfg
            heat = lm["temp"] * (count - 1 - i) / count if lm["anneal_temp"] else lm["temp"]
            probability_TV = torch.softmax(guided_TV / max(heat, 1e-2), -1)
            token_T = guided_TV.argmax(-1)
            open_T = codes_KT[level] == size
            codes_KT[level, open_T] = token_T[open_T]
            sure_UL = probability_TV.gather(1, token_T[:, None]).view(spans, span)
            score_U = 1 - sure_UL.amax(1) if lm["span_scoring"] == "max" else -sure_UL.log().sum(1)
            score_U[~again_U] = OPEN
    return codes_KT
