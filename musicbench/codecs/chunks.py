"""Apply a convolutional stack to long signals piece by piece, with the result of the whole.

A stack of convolutions sees only its receptive field. So each piece is computed with that much context on
both sides, and what the context's own edges spoiled is dropped: the rest equals the whole computation.

Shape suffixes: B batch, N samples, C channels.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn


def context_frames(layers: Iterable[nn.Module], hop: int, upsampling: bool) -> int:
    """Frames of context that a stack needs on either side.

    Args:
        layers: modules holding Conv1d and ConvTranspose1d in the order of computation; parallel branches
            are counted as if in series, which errs on the safe side.
        hop: samples per frame.
        upsampling: True for a decoder (input in frames), False for an encoder (input in samples).
    """
    step = float(hop) if upsampling else 1.0  # samples between neighbours at the current depth
    reach = 0.0
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.ConvTranspose1d):
                kernel, stride = module.kernel_size[0], module.stride[0]
                reach += (math.ceil(kernel / stride) - 1) * step
                step /= stride
            elif isinstance(module, nn.Conv1d):
                reach += (module.kernel_size[0] - 1) * module.dilation[0] * step
                step *= module.stride[0]
    return math.ceil(reach / hop) + 1


def in_chunks(
    apply: Callable[[torch.Tensor], torch.Tensor],
    signal_BCN: torch.Tensor,
    frames: int,
    chunk: int,
    context: int,
    span: tuple[int, int] | None = None,
) -> torch.Tensor:
    """``apply(signal_BCN)`` computed over chunks of at most ``chunk`` frames of time.

    Args:
        apply: a stack that maps [B, C, frames * i] to [B, D, frames * o] for some integers i and o.
        signal_BCN: [B, C, N] with N a multiple of ``frames``.
        context: frames computed and dropped on either side, see ``context_frames``.
        span: first frame and end of the part that is wanted; by default all of it.
    """
    first, end = span or (0, frames)
    per_frame = signal_BCN.shape[-1] // frames
    outputs = []
    for start in range(first, end, chunk):
        stop = min(start + chunk, end)
        left, right = max(start - context, 0), min(stop + context, frames)
        part = apply(signal_BCN[..., left * per_frame : right * per_frame])
        out_per_frame = part.shape[-1] // (right - left)
        outputs.append(part[..., (start - left) * out_per_frame : (stop - left) * out_per_frame])
    return torch.cat(outputs, -1)
