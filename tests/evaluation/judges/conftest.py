"""What is asked of every judge of fixed windows."""

from collections.abc import Callable

import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges import Judge


def _check(judge: Judge, clips_BN: torch.Tensor, rate: int, atol: float = 2e-5) -> None:
    """Deterministic, the same at any place in a batch, finite; poisoned and short clips are refused."""
    output = judge(clips_BN, rate)
    windows = int((clips_BN.shape[1] / rate - judge.window_seconds) / judge.hop_seconds + 1e-6) + 1
    assert output.embeddings_BWD.shape[:2] == (len(clips_BN), windows) == output.logits_BWC.shape[:2]
    assert output.logits_BWC.shape[2] == len(judge.labels)
    assert output.embeddings_BWD.dtype == output.logits_BWC.dtype == torch.float32
    assert output.embeddings_BWD.isfinite().all() and output.logits_BWC.isfinite().all()
    again = judge(clips_BN, rate)
    assert torch.equal(output.embeddings_BWD, again.embeddings_BWD)
    flipped, alone = judge(clips_BN.flip(0), rate), judge(clips_BN[:1], rate)
    for part in ("embeddings_BWD", "logits_BWC"):
        value = getattr(output, part)
        torch.testing.assert_close(getattr(flipped, part).flip(0), value, rtol=0, atol=atol)
        torch.testing.assert_close(getattr(alone, part)[0], value[0], rtol=0, atol=atol)
    # The clips are told apart at all.
    assert (output.embeddings_BWD[0] - output.embeddings_BWD[1]).abs().max() > 100 * atol
    for poison in (torch.nan, torch.inf):
        poisoned = clips_BN.clone()
        poisoned[1, 17] = poison
        with pytest.raises(UserError, match="NaN or infinity"):
            judge(poisoned, rate)
    with pytest.raises(UserError, match="longer clips"):
        judge(clips_BN[:, : int(judge.window_seconds * rate) - 1], rate)


@pytest.fixture(scope="session")
def check_judge() -> Callable[..., None]:
    return _check
