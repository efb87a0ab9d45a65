"""Networks without memory for their weights."""

import torch

from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.valueless import without_values

SIZES = {"levels": 2, "codebook_size": 8, "text_dim": 4, "dim": 16, "layers": 2, "heads": 2}


def test_parameters_have_shapes_alone_and_buffers_their_values() -> None:
    whole = PatternLM(**SIZES)
    with without_values():
        empty = PatternLM(**SIZES)
    assert all(parameter.is_meta for parameter in empty.parameters())
    assert {name: p.shape for name, p in empty.named_parameters()} == {n: p.shape for n, p in whole.named_parameters()}
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(whole.buffers(), empty.buffers(), strict=True))
    empty.load_state_dict(whole.state_dict(), assign=True)
    ids = torch.randint(0, 8, (1, 3, 2))
    assert torch.equal(empty.embed(ids, None), whole.embed(ids, None))
    assert all(parameter.requires_grad for parameter in empty.parameters())


def test_modules_made_afterwards_are_whole() -> None:
    try:
        with without_values():
            raise RuntimeError
    except RuntimeError:
        assert not any(parameter.is_meta for parameter in torch.nn.Linear(2, 2).parameters())
