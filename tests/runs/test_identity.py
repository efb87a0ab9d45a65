"""Which runs are the same run."""

import copy
import itertools
import re

import pytest

from musicbench.errors import UserError
from musicbench.runs import identity
from musicbench.runs.compose import compose, plain
from musicbench.runs.folder import run_folder
from musicbench.runs.identity import recorded_config, row_label, run_id, training_id
from musicbench.runs.run import Run

CONTENTS = {"tokens": "a", "clips": "b", "codec": "c", "judge": "d", "reference": "e", "text": "f", "clap_mini": "g"}


@pytest.fixture(scope="module")
def config() -> dict:
    return plain(compose("train", []))


def changed(config: dict, key: str, value) -> dict:
    """The configuration with one dotted key set."""
    config = copy.deepcopy(config)
    *groups, last = key.split(".")
    node = config
    for group in groups:
        node = node[group]
    assert node[last] != value
    node[last] = value
    return config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("output", "elsewhere"),
        ("cache", "elsewhere"),
        ("logger", {"_target_": "another"}),
        ("row", "another label"),
        ("training.save_every", 7),
        ("training.max_nonfinite", 3),
        ("trainer.threads", 1),
        ("trainer.devices", 8),
        ("trainer.strategy", "ddp"),
        ("trainer.accelerator", "cpu"),
        ("trainer.peak_flops", 1e12),
        ("trainer.profile", True),
        ("data.workers", 4),
        ("data.store", "the/same/tokens/elsewhere"),
        ("evaluation.samples", 0),
        ("evaluation.clap_mini", "the/same/judge/elsewhere"),
        ("evaluation.originals", "elsewhere"),
        ("evaluation.reference", "the/same/music/elsewhere"),
        ("judges.fad", {"_target_": "the.same.judge", "weights": "elsewhere"}),
        ("codec.name_or_folder", "the/same/codec/elsewhere"),
        ("text.source", "the/same/encoder/elsewhere"),
    ],
)
def test_where_and_how_a_run_is_watched_does_not_matter(config, key, value):
    assert run_id(changed(config, key, value), CONTENTS) == run_id(config, CONTENTS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("pattern.pattern", "flat"),
        ("pattern.delays", [0, 1, 1, 1]),
        ("schedule.schedule", "block_4"),
        ("model.dim", 192),
        ("model.dropout", 0.0),
        ("decode.cfg", 2.0),
        ("training.steps", 3),
        ("training.accumulate", 2),
        ("training.ema_decay", 0.5),
        ("training.ema_every", 10),
        ("optimiser.betas", [0.9, 0.999]),
        ("training.validate_every", 3),
        ("optimiser.lr", 0.5),
        ("family.condition_dropout", 0.0),
        ("data.seconds", 5.0),
        ("evaluation.seconds", 5.0),
        ("evaluation.per_piece", 1),
        ("trainer.precision", "32-true"),
    ],
)
def test_what_changes_numbers_changes_the_id(config, key, value):
    assert run_id(changed(config, key, value), CONTENTS) != run_id(config, CONTENTS)


def test_an_option_left_to_its_default_does_not_change_the_id(config):
    added = {**config, "pattern": {**config["pattern"], "some_option_to_come": None}}
    assert run_id(added, CONTENTS) == run_id(config, CONTENTS)
    assert recorded_config(added)["pattern"] == {"pattern": "delay"}
    for group in ("training", "optimiser"):
        added = {**config, group: {**config[group], "some_option_to_come": None}}
        assert run_id(added, CONTENTS) == run_id(config, CONTENTS)


OPTIONS = {
    "model": ("null_caption", "text_padding", "text_fusion", "initialisation"),
    "optimiser": ("decayed",),
    "family": ("condition_dropout_per",),
    "pattern": ("tail",),
}
"""Options that came when runs already had ids."""


@pytest.mark.parametrize(
    "choices",
    [
        ["experiment=patterns_10s", "pattern=delay"],
        ["experiment=patterns_10s", "pattern=flat"],
        ["family=magnet", "decode=magnet_10s"],
        ["experiment=patterns_10s_hybrid"],
    ],
    ids=str,
)
def test_an_older_configuration_without_todays_options_is_the_same_run(choices):
    today = plain(compose("train", choices))
    older = copy.deepcopy(today)
    for group, options in OPTIONS.items():
        for option in options:
            assert older[group].pop(option, None) is None
    assert older != today
    for identify in (run_id, training_id):
        assert identify(older, CONTENTS) == identify(today, CONTENTS)
    assert recorded_config(older) == recorded_config(today)


@pytest.mark.parametrize(
    "chosen",
    [
        "model.null_caption=zeros",
        "model.text_padding=zeros",
        "model.text_fusion=prepend",
        "model.initialisation=musicgen",
        "optimiser.decayed=all",
        "family.condition_dropout_per=step",
        "pattern.tail=untrained",
    ],
)
def test_a_chosen_option_is_another_training(config, chosen):
    assert training_id(plain(compose("train", [chosen])), CONTENTS) != training_id(config, CONTENTS)
    key = chosen.partition("=")[0]
    recipe = compose("train", ["experiment=musicgen_300m", f"{key}=null"])
    assert recipe[key.partition(".")[0]][key.partition(".")[2]] is None, "a recipe may be led back to our way"
    with pytest.raises(UserError, match=f"{key}=mine must be "):
        compose("train", [f"{key}=mine"])


def test_the_usual_tail_is_null_alone_so_that_a_training_has_one_id():
    with pytest.raises(UserError, match=r"pattern.tail=trained must be untrained$"):
        compose("train", ["pattern.tail=trained"])


def test_null_that_is_a_choice_of_its_own_counts():
    usual, unlimited = (
        plain(compose("train", ["family=magnet", "decode=magnet_10s", *more])) for more in ([], ["family.context=null"])
    )
    assert training_id(usual, CONTENTS) != training_id(unlimited, CONTENTS)
    assert recorded_config(unlimited)["family"]["context"] is None


def test_a_baseline_is_the_same_beside_whatever_is_trained():
    def baseline(*overrides: str) -> str:
        return run_id(plain(compose("evaluate", ["system=unigram", *overrides])), CONTENTS)

    assert len({baseline(), baseline("family=magnet", "decode=magnet_10s"), baseline("model.dim=64")}) == 1
    rescored = compose("evaluate", ["system=unigram", "decode=magnet_10s", "decode.rescorer=/nowhere"])
    assert Run(rescored).rescorer_folder is None
    assert len({baseline(), baseline("evaluation.seconds=5"), baseline("seed=1")}) == 3


def test_trainings_differ_in_what_changes_weights(config):
    one = training_id(config, CONTENTS)
    assert one == training_id(changed(config, "decode.cfg", 2.0), CONTENTS)
    assert one == training_id(changed(config, "evaluation.seconds", 5.0), CONTENTS)
    assert one != training_id(changed(config, "training.steps", 3), CONTENTS)
    assert one != training_id(config, {**CONTENTS, "tokens": "z"})


def test_contents_and_numerics_change_the_id(config, monkeypatch):
    ids = [run_id(config, CONTENTS), *(run_id(config, {**CONTENTS, name: "z"}) for name in CONTENTS)]
    monkeypatch.setattr(identity, "NUMERICS", identity.NUMERICS + 1)
    ids.append(run_id(config, CONTENTS))
    assert len(set(ids)) == len(CONTENTS) + 2


def test_id_does_not_depend_on_the_order_of_keys_and_changes_nothing(config):
    before = copy.deepcopy(config)
    turned = dict(reversed(config.items()))
    assert run_id(turned, CONTENTS) == run_id(config, CONTENTS)
    assert config == before
    assert re.fullmatch("[0-9a-f]{8}", run_id(config, CONTENTS))


def test_recorded_configuration_names_no_place(config):
    assert {"output", "cache", "logger", "judges"} & set(recorded_config(config)) == set()
    recorded = recorded_config(config)
    places = {
        "trainer": {
            "accelerator",
            "devices",
            "num_nodes",
            "strategy",
            "threads",
            "kernels",
            "timeout",
            "peak_flops",
            "profile",
        },
        "data": {"store", "workers"},
        "training": {"save_every", "max_nonfinite"},
        "evaluation": {"samples", "originals", "clap_mini", "reference", "fadtk"},
    }
    for group, keys in places.items():
        kept = {key: value for key, value in config[group].items() if key not in keys}
        unset = {key for key, value in kept.items() if value is None}
        assert recorded[group] == {key: value for key, value in kept.items() if key not in unset}
    assert recorded["model"] == {key: value for key, value in config["model"].items() if value is not None}


def test_labels():
    labels = [
        row_label(plain(compose("train", [f"pattern={pattern}", f"schedule={schedule}"])))
        for pattern, schedule in itertools.product(["delay", "stack_delay"], ["sequential", "block_4"])
    ]
    assert labels == ["delay", "delay.block_4", "stack_delay", "stack_delay.block_4"]
    options = ["pattern.delays=[0,2,3,4]", "pattern.positional=frame", "schedule=block_4"]
    assert row_label(plain(compose("train", options))) == "delay.delays-0-2-3-4.positional-frame.block_4"
    keys = "label=[decode.masked.cfg,decode.autoregressive.cfg,decode.masked.rescorer]"
    hybrid = ["family=hybrid", "decode=hybrid_10s", "decode.masked.rescorer=runs/de*-1", keys]
    label = row_label(plain(compose("train", hybrid)))
    assert label == "hybrid.delay.masked.cfg-10.0.autoregressive.cfg-3.0.masked.rescorer-de_-1"
    assert row_label(plain(compose("train", ["row=mine", "schedule=block_4"]))) == "mine"
    assert row_label(plain(compose("evaluate", ["system=uniform"]))) == "uniform"
    folder = run_folder(plain(compose("train", ["output=here"])), "0123abcd")
    assert folder.as_posix() == "here/delay-0123abcd"


@pytest.mark.parametrize("row", ["../../victim", "/tmp/victim", ".hidden", "a/b", "x" * 300])
def test_a_label_that_leads_out_of_the_folder_of_runs(row):
    with pytest.raises(UserError, match="no name for a file"):
        run_folder(plain(compose("train", [f"row='{row}'"])), "0123abcd")
