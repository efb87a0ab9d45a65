"""The peer: transformers' MusicGen decoder in our sizes, called as its documentation says it should be.

Shape suffixes: B batch, D width, K levels, L tokens of a caption, T frames.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from musicbench.bench.shapes import TEXT_TOKENS, BenchShape


class Musicgen:
    """A MusicGen decoder with random weights, in eval mode; captions have the model's width, so nothing projects them.

    Args:
        shape: sizes; the peer's positions are sinusoidal whatever the shape says.
        compiled: with a static cache and torch's compiler, which needs a C++ compiler on a CPU.

    Attributes:
        calls: number of rows of each call of the network, since ``generate`` last began.
    """

    def __init__(
        self, shape: BenchShape, device: torch.device, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        from transformers import MusicgenForCausalLM  # takes a second
        from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

        absent = shape.codebook_size
        torch.manual_seed(0)
        self.shape, self.device, self.dtype, self.compiled = shape, device, dtype, compiled
        self.config: Any = MusicgenDecoderConfig(
            vocab_size=absent,
            hidden_size=shape.dim,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            ffn_dim=4 * shape.dim,
            num_codebooks=shape.levels,
            dropout=0.0,
            pad_token_id=absent,
            bos_token_id=absent,
        )
        network: Any = MusicgenForCausalLM(self.config)
        self.model = network.to(device, dtype).eval()
        self.calls: list[int] = []
        self.model.model.register_forward_pre_hook(self._count, with_kwargs=True)
        if compiled:
            self.model.model.forward = _compiled(self.model.model.forward)

    def _count(self, module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named["input_ids"] if "input_ids" in named else given[0]
        self.calls.append(len(ids) // self.shape.levels)

    def generate(self, batch: int, frames: int) -> Tensor:
        """Draw codes [B, K, T] with guidance 3 and top-k 250: MusicGen's settings.

        Raises:
            RuntimeError: the network was not called as often, or with as many rows, as ``delay`` needs.
        """
        levels = self.shape.levels
        self.calls.clear()
        codes_BKT: Tensor = self.model.generate(
            inputs=torch.full((batch * levels, 1), self.config.pad_token_id, device=self.device),
            encoder_hidden_states=self._captions(2 * batch),
            encoder_attention_mask=torch.ones(2 * batch, TEXT_TOKENS, dtype=torch.long, device=self.device),
            attention_mask=torch.ones(batch, 1, dtype=torch.long, device=self.device),
            past_key_values=self._cache(frames + levels),
            decoder_start_token_id=self.config.pad_token_id,
            max_length=frames + levels,
            do_sample=True,
            top_k=250,
            guidance_scale=3.0,
            num_beams=1,
            num_return_sequences=1,
        )
        expected = [2 * batch] * (frames + levels - 1)
        if self.calls != expected or codes_BKT.shape != (batch, levels, frames):
            raise RuntimeError(
                f"transformers made {len(self.calls)} calls of {set(self.calls)} rows for codes "
                f"{list(codes_BKT.shape)}; delay needs {len(expected)} of {2 * batch}"
            )
        return codes_BKT

    def loss(self, codes_BKT: Tensor) -> Tensor:
        """The training loss of a batch; transformers does not delay the codes, which costs no time."""
        batch, levels, frames = codes_BKT.shape
        loss: Tensor = self.model(
            input_ids=codes_BKT.reshape(batch * levels, frames),
            labels=codes_BKT.transpose(1, 2),
            encoder_hidden_states=self._captions(batch),
            use_cache=False,
        ).loss
        return loss

    def _captions(self, rows: int) -> Tensor:
        one = torch.Generator().manual_seed(0)
        states_BLD = torch.randn(rows, TEXT_TOKENS, self.shape.dim, generator=one)
        return states_BLD.to(self.device, self.dtype)

    def _cache(self, length: int) -> Any:
        """A new cache; with its own default, ``generate`` mixes up both kinds of attention."""
        from transformers import DynamicCache, EncoderDecoderCache, StaticCache

        own = StaticCache(config=self.config, max_cache_len=length) if self.compiled else DynamicCache()
        return EncoderDecoderCache(own, DynamicCache())


def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, compiled, and called so that one program serves all steps.

    Given as they come, ids have another stride and the mask, all ones, another length at each step.
    """
    compiled = torch.compile(forward)

    def call(input_ids: Tensor, attention_mask: Tensor | None = None, **named: Any) -> Any:
        return compiled(input_ids=input_ids.clone(memory_format=torch.contiguous_format), **named)

    return call
