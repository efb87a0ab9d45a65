"""Training crops follow (seed, number) alone; evaluation crops are fixed, whole and apart."""

from collections import Counter

import pytest
from scipy import stats

from musicbench.data.crops import TrainingCrops, evaluation_crops
from musicbench.data.store import TokenStore
from musicbench.errors import UserError


@pytest.fixture
def make_store(make_token_store):
    def make(**sizes) -> TokenStore:
        return TokenStore.open(make_token_store(**sizes))

    return make


def spans(crops) -> list[tuple[str, int, int]]:
    return [(crop.clip, crop.start_frame, crop.start_frame + crop.frames) for crop in crops]


class TestTrainingCrops:
    def test_follow_seed_and_number_alone(self, make_store):
        store = make_store()
        crops = TrainingCrops(store, 20, seed=5)
        forwards = [crops[i] for i in range(50)]
        again = TrainingCrops(store, 20, seed=5)
        assert [again[i] for i in reversed(range(50))] == forwards[::-1]
        assert [TrainingCrops(store, 20, seed=6)[i] for i in range(50)] != forwards

    def test_lie_within_training_clips_of_sufficient_length(self, make_store):
        store = make_store(train=6)  # 43, 50 and 57 frames
        crops = TrainingCrops(store, 45, seed=0)
        long_enough = {clip.id: clip.frames for clip in store.split("train") if clip.frames >= 45}
        assert 0 < len(long_enough) < 6
        for crop in (crops[i] for i in range(300)):
            assert crop.frames == 45
            assert 0 <= crop.start_frame <= long_enough[crop.clip] - 45
            assert crop.caption in crop.source.captions
            assert crop.id == f"{crop.clip}@{crop.start_frame}"
            assert crop.piece == crop.source.piece

    def test_are_uniform_over_all_starting_points(self, make_store):
        store = make_store(train=3)
        crops = TrainingCrops(store, 40, seed=1)
        points = {(c.id, start) for c in store.split("train") for start in range(c.frames - 40 + 1)}
        count = 60 * len(points)
        seen = Counter((crop.clip, crop.start_frame) for crop in (crops[i] for i in range(count)))
        assert set(seen) == points
        assert stats.chisquare([seen[point] for point in sorted(points)]).pvalue > 1e-3

    def test_use_every_phrasing(self, make_store):
        crops = TrainingCrops(make_store(train=3), 40, seed=1)
        seen = {crops[i].caption for i in range(100)}
        assert seen == {caption for clip in crops.clips for caption in clip.captions}

    def test_a_clip_that_just_fits(self, make_store):
        crops = TrainingCrops(make_store(train=1), 43, seed=0)
        assert {crops[i].start_frame for i in range(20)} == {0}

    def test_no_clip_is_long_enough(self, make_store):
        with pytest.raises(UserError, match=r"no training clip has 58 frames; lower data.seconds"):
            TrainingCrops(make_store(), 58, seed=0)


class TestEvaluationCrops:
    @pytest.mark.parametrize("seconds", [0.5, 1.0, 1.5, 2.0, 4.3])
    @pytest.mark.parametrize("per_piece", [1, 2, 3, 50])
    def test_whole_seconds_inside_the_clip_and_apart(self, make_store, seconds, per_piece):
        store = make_store(test=3)
        frames = round(10 * seconds)
        crops = evaluation_crops(store, "test", seconds, per_piece)
        assert crops == evaluation_crops(store, "test", seconds, per_piece)
        assert len({crop.id for crop in crops}) == len(crops)
        for clip in store.split("test"):
            mine = [crop for crop in crops if crop.clip == clip.id]
            assert 1 <= len(mine) <= per_piece
            previous_end = 0
            for crop in mine:
                assert crop.start_frame % 10 == 0, "not at a whole second"
                assert crop.start_frame >= previous_end, "overlaps the one before"
                assert crop.start_frame + frames <= clip.frames, "reaches past the clip"
                assert crop.frames == frames
                assert crop.caption == clip.captions[0]
                assert crop.id == f"{clip.id}@{crop.start_frame // 10}"
                previous_end = crop.start_frame + frames

    def test_as_many_as_fit_if_they_are_whole_seconds_long(self, make_store):
        crops = evaluation_crops(make_store(test=1, frames=39), "test", 1.0, 50)
        assert [crop.frames for crop in crops] == [10] * (crops[0].source.frames // 10)

    def test_spread_over_the_clip(self, make_store):
        """One crop lies in the middle, not at the start."""
        store = make_store(test=1, frames=200)
        clip = store.split("test")[0]
        (one,) = evaluation_crops(store, "test", 2.0, 1)
        assert abs((one.start_frame + 10) - clip.frames / 2) <= 10
        first, second = evaluation_crops(store, "test", 2.0, 2)
        assert first.start_frame > 30
        assert second.start_frame + 20 < clip.frames - 30

    def test_clips_that_are_too_short_are_left_out(self, make_store):
        store = make_store(test=3)
        crops = evaluation_crops(store, "test", 5.0, 1)
        assert {crop.clip for crop in crops} == {c.id for c in store.split("test") if c.frames >= 50} != set()

    @pytest.mark.parametrize(
        ("split", "seconds", "message"),
        [
            ("test", 30.0, r"no clip of split 'test' is 30.0 s long"),
            ("tset", 1.0, r"no split 'tset'"),
            ("test", 0.0, "length"),
            ("test", -1.0, "length"),
            ("test", 0.04, "length"),
        ],
    )
    def test_mistakes(self, make_store, split, seconds, message):
        with pytest.raises(UserError, match=message):
            evaluation_crops(make_store(), split, seconds, 1)

    def test_no_crop_wanted(self, make_store):
        with pytest.raises(UserError):
            evaluation_crops(make_store(), "test", 1.0, 0)
