"""Training learns what is there to learn, and nothing where there is nothing."""

import dataclasses

import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.retrieval import require_retrieval
from musicbench.evaluation.clap_mini.training import one_of_each_piece, retrieval, train_clap


def test_learns_and_passes_the_gate(corpus, tiny):
    clips, texts = corpus()
    trained = train_clap(tiny, clips, texts)
    found = retrieval(trained.network, one_of_each_piece(clips, "test"), texts)
    for outcome in (*found.values(), *trained.validation.values()):
        assert outcome.recall(1) > 8 * outcome.chance(1)
        assert outcome.recall(10) > 0.9
    for outcome in found.values():
        require_retrieval(outcome, "clap_mini")


def test_shuffled_pairs_are_refused(corpus, tiny):
    clips, texts = corpus(shuffled=True)
    trained = train_clap(tiny, clips, texts)
    for outcome in retrieval(trained.network, one_of_each_piece(clips, "test"), texts).values():
        assert outcome.p_value(10) > 0.001
        with pytest.raises(UserError, match="not trusted"):
            require_retrieval(outcome, "clap_mini")


def test_is_repeated_to_the_bit_and_never_looks_at_test_clips(corpus, tiny):
    clips, texts = corpus()
    short = dataclasses.replace(tiny, steps=30)
    first = train_clap(short, clips, texts).network.state_dict()
    torch.manual_seed(99)
    without = train_clap(short, [clip for clip in clips if clip.split != "test"], texts).network.state_dict()
    other = train_clap(dataclasses.replace(short, seed=1), clips, texts).network.state_dict()
    assert all(torch.equal(first[name], without[name]) for name in first)
    assert not torch.equal(first["audio.layers.1.weight"], other["audio.layers.1.weight"])


def test_stops_early_and_keeps_the_best_step(corpus, tiny):
    clips, texts = corpus(shuffled=True)
    trained = train_clap(dataclasses.replace(tiny, steps=2000, validate_every=5, patience=20), clips, texts)
    assert trained.steps < 2000
    assert trained.steps - trained.best_step >= 20
    again = train_clap(dataclasses.replace(tiny, steps=2000, validate_every=5, patience=20), clips, texts)
    assert again.best_step == trained.best_step
    assert again.validation == trained.validation


@pytest.mark.parametrize("split", ["train", "validation"])
def test_too_few_recordings(corpus, tiny, split):
    clips, texts = corpus()
    kept = [clip for clip in clips if clip.split != split] + [clip for clip in clips if clip.split == split][:1]
    with pytest.raises(UserError, match=split):
        train_clap(tiny, kept, texts)


def test_one_clip_of_each_piece(corpus):
    clips, _ = corpus()
    twice = [clip for clip in clips for _ in range(2)]
    assert [clip.piece for clip in one_of_each_piece(twice, "test")] == [f"piece{n}" for n in range(190, 230)]


@pytest.mark.parametrize("name", ["steps", "batch", "dim", "held_out_seconds"])
def test_sizes_of_zero(tiny, name):
    with pytest.raises(UserError, match=f"clap_training.{name}=0 must be above 0"):
        dataclasses.replace(tiny, **{name: 0})
