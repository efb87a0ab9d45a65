"""The text encoder of a run: where it finds the token store, what a training is told, and what a record says of it."""

import numpy as np
import pytest
import torch

from musicbench.conditions import joint
from musicbench.conditions.heard import write_heard
from musicbench.conditions.heard_files import heard_name
from musicbench.data.crops import TrainingCrops
from musicbench.errors import UserError
from musicbench.runs.compose import checked, compose, plain
from musicbench.runs.contents import Contents
from musicbench.runs.identity import recorded_config, run_id, training_id
from musicbench.runs.recorded import configuration_of
from musicbench.runs.run import Run
from musicbench.runs.settings import ASSETS, text_part
from tests.helpers.fitting import fit

CHANGES = ("data.tag_merging", "data.description_dropout", "data.tag_dropout", "data.word_dropout", "data.tags")


@pytest.fixture
def make_own(make_run):
    """``make_own("text=...")`` -> Run of the tiny configuration with its own text encoder."""

    def make(*overrides: str) -> Run:
        run = make_run(*overrides)
        del run.parts.__dict__["encoder"]
        return run

    return make


@pytest.fixture
def heard(make_own):
    """Puts what clap_mini hears beside the tiny store: noise."""
    store = make_own().parts.store
    random = np.random.default_rng(0)
    clips = {clip.id: random.normal(size=(5, 200)).astype(np.float32) for clip in store.split("train")}
    space = joint.clap_mini().space
    write_heard(store.folder / heard_name("clap_mini"), space, clips, 1.0, 3.0, 2, 4)


def test_the_store_is_that_of_the_run_unless_another_is_named():
    assert text_part(compose("train", ["text=clap_mini"]))["store"] == str(ASSETS / "tokens")
    assert text_part(compose("train", ["text=clap_mini", "data.store=mine"]))["store"] == "mine"
    assert text_part(compose("train", ["text=clap_mini", "data.store=mine", "text.store=other"]))["store"] == "other"
    assert "store" not in text_part(compose("train", []))


@pytest.mark.parametrize("lines", [("text=none",), ("text=clap_mini",), ("text=laion_clap", "text.sha256=fae3e9c0")])
def test_a_record_says_which_encoder_it_was(lines):
    config = compose("train", [*lines, "data.store=somewhere"])
    content = recorded_config(plain(config))
    assert content["text"]["name"] == lines[0].partition("=")[2] and "somewhere" not in str(content)
    again = configuration_of(content, "record")
    assert {k: v for k, v in plain(again)["text"].items() if v is not None} == {
        k: v for k, v in plain(config)["text"].items() if v is not None
    }
    assert recorded_config(plain(again)) == content
    content["text"]["name"] = "nothing"
    with pytest.raises(UserError, match=r"record: its text is 'nothing', which no file of conf/text makes"):
        configuration_of(content, "record")


def test_records_of_token_states_say_what_they_said():
    assert recorded_config(plain(compose("train", [])))["text"] == {"source": "minilm"}
    assert recorded_config(plain(compose("train", ["text=flan_t5"])))["text"] == {"source": "google/flan-t5-base"}


def test_changes_of_captions_change_weights_and_null_is_no_key():
    usual = plain(compose("train", []))
    keys = [*(key.partition(".")[2] for key in CHANGES), "caption_states"]
    before = {**usual, "data": {key: value for key, value in usual["data"].items() if key not in keys}}
    assert (run_id(usual, {}), training_id(usual, {})) == (run_id(before, {}), training_id(before, {}))
    for key in keys:
        changed = {**usual, "data": {**usual["data"], key: 0.5}}
        assert training_id(changed, {}) != training_id(usual, {})
    for system in ("unigram", "codec"):  # which read no captions
        rows = [{**config, "system": system} for config in (usual, {**usual, "data": {**usual["data"], "tags": ["x"]}})]
        assert run_id(rows[0], {}) == run_id(rows[1], {})


def test_an_older_run_folder_has_none_of_the_keys(make_run):
    run = make_run()
    content = plain(run.config)
    for key in (*CHANGES, "data.caption_states"):
        del content["data"][key.partition(".")[2]]
    run.parts.config = checked(content, "an older run")
    assert not run.parts.caption_changes and run.parts.captions.bounds


@pytest.mark.parametrize(
    "lines", [("text=none",), ("text=clap_mini", "text.training=audio")], ids=["no text", "what is heard"]
)
def test_changes_of_captions_that_nobody_reads_are_refused(make_own, heard, lines):
    run = make_own(*lines, "data.word_dropout=0.3")
    with pytest.raises(UserError, match=r"this training reads no captions, so that data.tag_merging and"):
        _ = run.parts.caption_changes
    assert not make_own(*lines).parts.caption_changes


def test_out_of_range_is_one_line(refused):
    for line in ("data.word_dropout=1.5", "data.tag_merging=-1", "data.caption_states=never", "data.tags=3"):
        assert line.partition("=")[0] in refused("train", line)


def test_what_is_heard_is_looked_up_by_clip_and_second(make_own, heard):
    run = make_own("text=clap_mini", "text.training=audio", "text.quantised=true")
    crops = [TrainingCrops(run.parts.store, 20, 0)[i] for i in range(6)]
    states_BLE, mask_BL = run.parts.of_training_crops(crops).text
    assert states_BLE.shape == (6, 1, 64) and mask_BL.all()
    spans = [(crop.clip, crop.start_frame / 10, 2.0) for crop in crops]
    assert torch.equal(states_BLE, torch.stack(run.parts.encoder.encode_crops(spans)))
    assert run.parts.hears and not make_own("text=clap_mini").parts.hears
    assert run.contents.encoder == run.parts.encoder.sha256


def test_ids_follow_from_what_is_heard(make_own, heard):
    kinds = [(), ("text.training=audio",), ("text.quantised=true",), ("text.training=audio", "text.quantised=true")]
    hashes = [make_own("text=clap_mini", *kind).contents.encoder for kind in kinds]
    assert len(set(hashes)) == 4
    assert Contents(compose("train", ["text=none"])).encoder not in hashes


@pytest.mark.parametrize(
    "lines",
    [
        ("text=none",),
        ("text=clap_mini",),
        ("text=clap_mini", "text.training=audio", "text.quantised=true"),
        ("text=minilm", "data.word_dropout=0.5"),
        ("text=minilm", "data.caption_states=batch"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("family", [(), ("family=magnet", "decode=magnet_10s")], ids=["ar", "magnet"])
def test_a_few_steps_of_training(make_own, heard, tmp_path, lines, family):
    run = make_own(*lines, *family)
    fit(run, tmp_path / "run")
    assert (tmp_path / "run" / "best.ckpt").is_file()
