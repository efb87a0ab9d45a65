"""What processes draw: each its own crops, masks and dropout, and together those of one process."""

import itertools

import pytest
import torch

from musicbench.data.caption_changes import UNCHANGED
from musicbench.data.module import DrawnCrops
from musicbench.data.stages import Stage
from musicbench.data.step_batches import StepBatches
from musicbench.data.store import TokenStore
from musicbench.generators.captioned import CONDITION_STREAM, LEVEL_STREAM, MASK_STREAM
from musicbench.generators.objectives import training_masks

CLIPS, FRAMES = 16, 8


def numbers(rank: int, world: int, batches: int = 2) -> list[list[int]]:
    """Running numbers of the clips in a rank's first batches."""
    found = StepBatches(0, [Stage(None, FRAMES, CLIPS)], rank, world)
    return [[sample.number for sample in batch] for batch in itertools.islice(found, batches)]


@pytest.fixture(params=["autoregressive", "magnet", "hybrid"])
def module(request, make_module, make_masked):
    if request.param == "autoregressive":
        made = make_module(condition_dropout=0.5, level_dropout=0.5)
    else:
        made = make_masked(request.param == "hybrid", condition_dropout=0.5)
    made.lm.transformer.train()
    return made


def drawn(module, index_B: torch.Tensor) -> list[torch.Tensor]:
    """Choices of a batch by kind, and dropout inside the model."""
    seen: list[torch.Tensor] = []

    def loss(batch):
        seen.append(torch.nn.functional.dropout(torch.ones(64), 0.5))
        return seen[-1].sum()

    module.loss = loss
    module.training_step(type("Batch", (), {"index_B": index_B})(), 0)
    levels = torch.tensor([stream.random() for stream in module.streams(index_B, LEVEL_STREAM)])
    masks = training_masks(module.streams(index_B, MASK_STREAM), 20, 3)
    return [module.dropped(index_B), levels, masks, *seen]


def test_ranks_draw_differently_from_each_other_and_the_next_batch(module):
    batches = [torch.tensor(batch) for rank in range(2) for batch in numbers(rank, 2)]
    assert len(set(torch.cat(batches).tolist())) == 4 * CLIPS
    for one, other in itertools.combinations([drawn(module, batch) for batch in batches], 2):
        for first, second in zip(one, other, strict=True):
            assert not torch.equal(first, second)


def test_a_rank_draws_what_one_process_would_in_its_place(module):
    alone = [drawn(module, torch.tensor(batch)) for batch in numbers(0, 1, 4)]
    torch.rand(9)  # the global stream is of no account
    together = [drawn(module, torch.tensor(numbers(rank, 2)[step])) for step in range(2) for rank in range(2)]
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True))


def test_the_kinds_of_choices_are_apart(module):
    index_B = torch.arange(200)
    draws = [
        torch.tensor([stream.random() for stream in module.streams(index_B, kind)])
        for kind in (CONDITION_STREAM, LEVEL_STREAM, MASK_STREAM)
    ]
    for one, other in itertools.combinations(draws, 2):
        assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.3


def test_crops_of_ranks_differ_and_are_those_of_one_process(make_token_store):
    store = TokenStore.open(make_token_store())
    crops = DrawnCrops(store, [Stage(None, FRAMES, CLIPS)], 3, UNCHANGED)

    def of(rank: int, world: int, batches: int) -> list[list[tuple[str, str]]]:
        found = StepBatches(0, [Stage(None, FRAMES, CLIPS)], rank, world)
        drawn = [[crops[sample][0] for sample in batch] for batch in itertools.islice(found, batches)]
        return [[(crop.id, crop.caption) for crop in batch] for batch in drawn]

    first, second = of(0, 2, 3), of(1, 2, 3)
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert [batch for pair in zip(first, second, strict=True) for batch in pair] == of(0, 1, 6)
