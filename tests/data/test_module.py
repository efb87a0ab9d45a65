"""Batches: the same global ones for any number of processes and workers, and after an interruption."""

from itertools import islice

import numpy as np
import pytest
import torch

from musicbench.data.caption_changes import CaptionChanges
from musicbench.data.crop_codes import crop_codes
from musicbench.data.crops import TrainingCrops, evaluation_crops
from musicbench.data.module import TokenDataModule
from musicbench.data.stages import Stage
from musicbench.data.store import TokenStore
from musicbench.errors import UserError


class Place:
    """What a data module asks a Trainer for."""

    def __init__(self, rank=0, world=1, step=0, accumulate=1):
        self.global_rank, self.world_size = rank, world
        self.global_step, self.accumulate_grad_batches = step, accumulate


def lengths(crops):
    """The length of each crop's caption: enough to see which captions came."""
    return torch.tensor([len(crop.caption) for crop in crops])


@pytest.fixture
def store(make_token_store) -> TokenStore:
    return TokenStore.open(make_token_store(train=4, validation=5))


@pytest.fixture
def make_data(store):
    def make(place: Place | None = None, **options) -> TokenDataModule:
        arguments = {"stages": [Stage(None, 20, 4)], "seed": 7, **options}
        data = TokenDataModule(store, lengths, lambda *parts: parts, **arguments)
        data.trainer = place
        return data

    return make


def batches(data: TokenDataModule, count: int) -> list[tuple]:
    return list(islice(iter(data.train_dataloader()), count))


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)


def test_batch_is_made_of_the_numbered_crops(store, make_data):
    crops = TrainingCrops(store, 20, seed=7)
    for step, (codes_BKT, length_B, index_B) in enumerate(batches(make_data(), 3)):
        assert index_B.tolist() == list(range(4 * step, 4 * step + 4))
        assert codes_BKT.dtype == torch.int64
        for row, number in enumerate(index_B.tolist()):
            crop = crops[number]
            np.testing.assert_array_equal(codes_BKT[row], store.codes(crop.source, crop.start_frame, 20))
            assert length_B[row].item() == len(crop.caption)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_batches_of_one_process(make_data, world):
    whole = batches(make_data(Place()), 5)
    shares = [batches(make_data(Place(rank, world), stages=[Stage(None, 20, 4 // world)]), 5) for rank in range(world)]
    for step in range(5):
        together = [torch.cat(parts) for parts in zip(*(share[step] for share in shares), strict=True)]
        assert_same(whole[step], together)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_training_that_goes_on_sees_what_it_would_have_seen(make_data, accumulate):
    whole = batches(make_data(Place(accumulate=accumulate)), 9)
    rest = batches(make_data(Place(step=2, accumulate=accumulate)), 3)
    for one, other in zip(whole[2 * accumulate :], rest, strict=False):
        assert_same(one, other)


def test_workers_change_nothing(make_data):
    for one, other in zip(batches(make_data(), 4), batches(make_data(workers=2), 4), strict=True):
        assert_same(one, other)


def test_seed_changes_the_crops(make_data):
    (one,), (other,) = batches(make_data(seed=1), 1), batches(make_data(seed=2), 1)
    assert not torch.equal(one[0], other[0])


def test_shorter_crops_come_first_and_validation_stays_long(store, make_data):
    data = make_data(stages=[Stage(2, 5, 6), Stage(None, 20, 2)])
    assert [tuple(codes_BKT.shape) for codes_BKT, *_ in batches(data, 4)] == [(6, 2, 5)] * 2 + [(2, 2, 20)] * 2
    assert [len(codes_BKT) for codes_BKT, *_ in data.val_dataloader()] == [2, 2, 1]
    short, long = TrainingCrops(store, 5, seed=7), TrainingCrops(store, 20, seed=7)
    _, second, third, _ = batches(data, 4)
    for crops, (codes_BKT, _, index_B) in ((short, second), (long, third)):
        for row, number in enumerate(index_B.tolist()):
            crop = crops[number]
            np.testing.assert_array_equal(codes_BKT[row], store.codes(crop.source, crop.start_frame, crop.frames))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_validation_counts_every_clip_once(store, make_data, world):
    numbers = []
    for rank in range(world):
        for codes_BKT, _, index_B in make_data(Place(rank, world), stages=[Stage(None, 20, 2)]).val_dataloader():
            numbers += index_B.tolist()
            assert len(codes_BKT) <= 2
    assert sorted(numbers) == list(range(len(evaluation_crops(store, "validation", 2.0, 1))))


def test_too_many_processes_for_the_validation_clips(make_data):
    with pytest.raises(UserError, match="5 validation clips are too few for 6 processes"):
        make_data(Place(0, 6)).val_dataloader()


def test_crop_codes(store):
    crops = evaluation_crops(store, "test", 3.0, 2)
    codes_BKT = crop_codes(store, crops)
    assert codes_BKT.shape == (len(crops), 2, 30)
    for crop, codes_KT in zip(crops, codes_BKT, strict=True):
        np.testing.assert_array_equal(codes_KT, store.codes(crop.source)[:, crop.start_frame : crop.start_frame + 30])


class TestOfWhatCropsAreTold:
    def heard(self, crops):
        """The frame at which each crop begins, and no caption."""
        return torch.tensor([crop.start_frame for crop in crops])

    def test_training_is_told_of_its_crops_and_validation_of_captions(self, store, make_data):
        data, crops = make_data(training_conditions=self.heard), TrainingCrops(store, 20, seed=7)
        for _, start_B, index_B in batches(data, 3):
            assert start_B.tolist() == [crops[i].start_frame for i in index_B.tolist()]
        lengths = [len(crop.caption) for crop in data.validation]
        told = torch.cat([length_B for _, length_B, _ in data.val_dataloader()])
        assert told.tolist() == lengths

    def test_changed_captions_are_those_of_training_alone(self, make_data):
        changes = CaptionChanges(word_dropout=0.5)
        data = make_data(changes=changes)
        assert any(not torch.equal(a[1], b[1]) for a, b in zip(batches(data, 5), batches(make_data(), 5), strict=True))
        for one, other in zip(data.val_dataloader(), make_data().val_dataloader(), strict=True):
            assert_same(one, other)

    def test_a_training_that_goes_on_is_told_what_it_would_have_been_told(self, make_data):
        changes = CaptionChanges(word_dropout=0.5)
        whole = batches(make_data(Place(), changes=changes), 6)
        for one, other in zip(whole[4:], batches(make_data(Place(step=4), changes=changes), 2), strict=True):
            assert_same(one, other)
        for one, other in zip(whole[:3], batches(make_data(changes=changes, workers=2), 3), strict=True):
            assert_same(one, other)
