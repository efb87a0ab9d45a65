"""What becomes of captions: how often, in which form, and that nothing else changes with it."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from musicbench.data.caption_changes import TAGS, UNCHANGED, CaptionChanges
from musicbench.data.crops import CAPTION_STREAM, CROP_STREAM, TrainingCrops
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.generators import captioned

MUSICGEN = CaptionChanges(tag_merging=0.25, description_dropout=0.5, tag_dropout=0.5, word_dropout=0.3)
ATTRIBUTES = {
    "key": "C major",
    "bpm": 90,
    "instruments": ["flute", "harp"],
    "genre": None,
    "moods": "",
    "composer": "Bach",
    "keywords": {"no": "text"},
    "form": True,
}
CAPTION = "a slow waltz for flute, with a harp."
STATED = {"key: C major", "bpm: 90", "instruments: flute, harp"}


def told(changes: CaptionChanges, count: int = 4000, caption: str = CAPTION, attributes=ATTRIBUTES) -> list[str]:
    return [changes.changed(caption, attributes, np.random.default_rng([3, number])) for number in range(count)]


def assert_share(hits: int, count: int, share: float) -> None:
    assert binomtest(hits, count, share).pvalue > 1e-4


def test_tags_are_joined_in_any_order_as_name_and_value():
    found = Counter(told(CaptionChanges(tag_merging=1.0), 600))
    assert len(found) == 6, "all orders of three tags"
    for text in found:
        description, *tags = text.split(". ")
        assert description == CAPTION.rstrip(".") and set(tags) == STATED
    assert min(found.values()) > 60


def test_merging_and_the_dropout_of_descriptions_are_as_frequent_as_stated():
    found = told(CaptionChanges(tag_merging=0.25, description_dropout=0.5))
    merged = [text for text in found if text != CAPTION]
    assert_share(len(merged), len(found), 0.25)
    alone = [text for text in merged if CAPTION.rstrip(".") not in text]
    assert_share(len(alone), len(merged), 0.5)
    assert all(set(text.split(". ")) == STATED for text in alone)


def test_each_tag_is_left_out_by_itself():
    found = [set(text.split(". ")[1:]) for text in told(CaptionChanges(tag_merging=1.0, tag_dropout=0.25))]
    for tag in STATED:
        assert_share(sum(tag in tags for tags in found), len(found), 0.75)
    both = sum({"key: C major", "bpm: 90"} <= tags for tags in found)
    assert_share(both, len(found), 0.75**2)


def test_without_description_and_tags_there_is_no_caption():
    nothing = CaptionChanges(tag_merging=1.0, description_dropout=1.0, tag_dropout=1.0)
    assert set(told(nothing, 20)) == {""}
    assert set(told(CaptionChanges(tag_merging=1.0), 20, attributes={})) == {CAPTION.rstrip(".")}
    assert set(told(CaptionChanges(tag_merging=1.0, tags=("key",)), 20, caption="")) == {"key: C major"}


def test_words_are_left_out_by_themselves_in_their_order():
    found, words = told(CaptionChanges(word_dropout=0.3)), CAPTION.split()
    assert_share(sum(len(text.split()) for text in found), len(found) * len(words), 0.7)
    for place in (0, 3):  # "slow" and "flute," are there once
        word = words[place + 1]
        assert_share(sum(word in text.split() for text in found), len(found), 0.7)
    assert set(told(CaptionChanges(word_dropout=1.0), 5)) == {""}


@given(caption=st.text(max_size=80), seed=st.integers(0, 99), share=st.floats(0.1, 0.9))
def test_what_remains_of_any_text_is_a_part_of_it(caption, seed, share):
    left = iter(caption.split())
    text = CaptionChanges(word_dropout=share).changed(caption, {}, np.random.default_rng(seed))
    assert all(word in left for word in text.split()), "words in their order, none of them new"


def test_musicgen_s_settings_together():
    found = told(MUSICGEN)
    assert "" not in found[:5] and len(set(found)) > 300
    assert all(set(text.replace(".", " ").split()) <= set(f"{CAPTION} {' '.join(STATED)}".replace(".", " ").split())
               for text in found)  # fmt: skip


def test_nothing_changes_unless_it_is_asked_for():
    assert not UNCHANGED and MUSICGEN and CaptionChanges(word_dropout=0.1)
    assert not CaptionChanges.of({}) and not CaptionChanges.of(dict.fromkeys(CaptionChanges.__dataclass_fields__))
    assert CaptionChanges.of({"tag_merging": 0.25, "seconds": 3}) == CaptionChanges(tag_merging=0.25)
    assert CaptionChanges.of({"tag_merging": 1.0, "tags": ["mood"]}).tags == ("mood",)
    assert set(told(UNCHANGED, 5)) == {CAPTION}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"description_dropout": 0.5}, r"data.description_dropout changes nothing without data.tag_merging"),
        ({"tag_dropout": 0.5, "word_dropout": 0.1}, r"data.tag_dropout changes nothing without data.tag_merging"),
        ({"tags": ["key"], "tag_merging": 0.0}, r"data.tags changes nothing without data.tag_merging"),
        ({"tags": [3], "tag_merging": 0.5}, r"data.tags must be names of attributes"),
        ({"tags": [], "tag_merging": 0.5}, r"data.tags must be names of attributes"),
    ],
)
def test_settings_without_effect_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        CaptionChanges.of(settings)


class TestCrops:
    @pytest.fixture
    def store(self, make_token_store) -> TokenStore:
        return TokenStore.open(make_token_store(train=4))

    def test_follow_seed_and_number_and_leave_the_crops_alone(self, store):
        changes = CaptionChanges(word_dropout=0.5)
        changed, plain = TrainingCrops(store, 20, 5, changes), TrainingCrops(store, 20, 5)
        first = [changed[i] for i in range(60)]
        assert [changed[i] for i in reversed(range(60))] == first[::-1]
        places = [(crop.id, crop.start_frame) for crop in first]
        assert places == [(plain[i].id, plain[i].start_frame) for i in range(60)]
        assert any(crop.caption != plain[i].caption for i, crop in enumerate(first))
        assert [TrainingCrops(store, 20, 6, changes)[i].caption for i in range(60)] != [c.caption for c in first]

    def test_a_store_without_the_tags_is_refused(self, store):
        with pytest.raises(UserError, match=r"data.tag_merging=0.25, but no training clip has one of .* key, bpm,"):
            TrainingCrops(store, 20, 5, CaptionChanges(tag_merging=0.25))
        TrainingCrops(store, 20, 5, CaptionChanges(word_dropout=0.25))

    def test_streams_are_told_apart(self):
        streams = [CROP_STREAM, CAPTION_STREAM]
        streams += [value for name, value in vars(captioned).items() if name.endswith("_STREAM")]
        assert len(streams) >= 6 and len(set(streams)) == len(streams)


def test_the_embedded_corpus_has_tags_to_merge():
    from musicbench.runs.settings import ASSETS

    clips = TokenStore.open(ASSETS / "tokens").split("train")
    CaptionChanges(tag_merging=1.0).require_tags(clip.attributes for clip in clips)
    words = CaptionChanges(tag_merging=1.0).changed("x", clips[0].attributes, np.random.default_rng(0))
    assert "bpm: " in words and "instruments: " in words and "None" not in words and "key" in TAGS
