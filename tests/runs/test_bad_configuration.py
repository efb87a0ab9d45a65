"""Every value that a configuration cannot mean is refused where it is composed, in one line that names its key."""

from copy import deepcopy
from typing import Any

import pytest

from musicbench.errors import UserError
from musicbench.runs.compose import compose, shipped, shipped_folder
from musicbench.runs.values import validate

NAN, INF = float("nan"), float("inf")

WRONG: list[tuple[str, Any, str]] = [
    ("training.steps", -3, "at least 0"),
    ("training.start", 3, "text"),
    ("training.steps", 1.5, "a whole number"),
    ("training.steps", NAN, "a whole number"),
    ("training.steps", True, "a whole number"),
    ("training.batch_size", 0, "at least 1"),
    ("training.accumulate", 0, "at least 1"),
    ("training.max_nonfinite", 0, "at least 1"),
    ("training.ema_decay", 2.0, "0 .. 1"),
    ("training.ema_decay", NAN, "a number"),
    ("training.length_warmup", "abc", "a list"),
    ("training.length_warmup", None, "a list"),
    ("data.seconds", 0, "above 0"),
    ("data.seconds", -1, "above 0"),
    ("data.seconds", NAN, "a number"),
    ("data.seconds", INF, "a number"),
    ("data.seconds", True, "a number"),
    ("data.store", 3, "text"),
    ("data.workers", -1, "at least 0"),
    ("optimiser.lr", NAN, "a number"),
    ("optimiser.lr", 0, "above 0"),
    ("optimiser.lr", -1, "above 0"),
    ("optimiser.clip_norm", -1, "at least 0"),
    ("optimiser.weight_decay", -1, "at least 0"),
    ("model.heads", 0, "1 .. 65536"),
    ("model.layers", 0, "1 .. 1000"),
    ("model.layers", 10**9, "1 .. 1000"),
    ("model.dim", 10**9, "1 .. 65536"),
    ("model.dim", 1.5, "a whole number"),
    ("model.dropout", 2, "0 .. 1"),
    ("model.from_codebooks", "perhaps", "true or false"),
    ("family.condition_dropout", -0.1, "0 .. 1"),
    ("evaluation.seconds", NAN, "a number"),
    ("evaluation.per_piece", 0, "at least 1"),
    ("evaluation.per_piece", 1.5, "a whole number"),
    ("evaluation.batch_size", 0, "at least 1"),
    ("evaluation.speed_batches", 3, "a list"),
    ("evaluation.speed_batches", [0], "at least 1"),
    ("evaluation.speed_batches", ["a"], "a list"),
    ("evaluation.speed_repeats", 0, "at least 1"),
    ("pattern.delays", 3, "a list"),
    ("pattern.delays", ["a", "b", "c", "d"], "a list"),
    ("pattern.pattern", None, "text"),
    ("schedule.schedule", None, "text"),
    ("trainer.threads", -1, "1 .. 4096"),
    ("trainer.threads", 10**9, "1 .. 4096"),
    ("trainer.threads", "abc", "a whole number"),
    ("decode.cfg", NAN, "a number"),
    ("seed", 2**32, "0 .. 4294967295"),
    ("output", None, "text"),
    ("cache", 3, "text"),
    ("row", "a/b", "it holds a slash"),
    ("row", "../../up", "it begins with a dot"),
    ("row", ["a"], "without slashes"),
    ("training", 3, "a group with the keys start"),
    ("codec", None, "a group with the keys"),
]


def changed(key: str, value: Any) -> dict[str, Any]:
    config = deepcopy(shipped("train"))
    *parents, last = key.split(".")
    node = config
    for name in parents:
        node = node[name]
    node[last] = value
    return config


@pytest.mark.parametrize(("key", "value", "message"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_values_that_mean_nothing(key, value, message):
    with pytest.raises(UserError) as error:
        validate(changed(key, value), shipped("train"))
    assert str(error.value).startswith(f"{key}=")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["train", "evaluate", "prepare"])
def test_what_is_shipped_is_valid(name):
    validate(shipped(name), shipped(name))


@pytest.mark.parametrize(
    ("key", "value"),
    [("data.seconds", 3), ("row", 5), ("trainer.threads", 2), ("pattern.delays", [0, 0, 1, 1]), ("seed", 2**32 - 1),
     ("optimiser.clip_norm", 0), ("evaluation.speed_batches", []), ("evaluation.clap_mini", None),
     ("trainer.devices", -1)],
)  # fmt: skip
def test_values_at_the_edge_are_taken(key, value):
    validate(changed(key, value), shipped("train"))


@pytest.mark.parametrize("key", ["training.steps", "pattern.pattern", "pattern", "seed"])
def test_a_missing_key_is_named(key):
    config = deepcopy(shipped("train"))
    *parents, last = key.split(".")
    (config[parents[0]] if parents else config).pop(last)
    with pytest.raises(UserError, match=f"^{key} is missing"):
        validate(config, shipped("train"))


@pytest.mark.parametrize(
    ("command", "override", "message"),
    [
        (
            "train",
            "pattern=delai",
            "unknown pattern 'delai', choose one of coarse_first, delay, flat, parallel, partial_delay, "
            "partial_flat, stack, stack_delay, stack_stride, stereo_delay, stereo_partial_delay; did you mean delay?",
        ),
        ("train", "training.stpes=3", "unknown key training.stpes; did you mean training.steps?"),
        ("train", "pattern=stack_delay pattern.tail=untrained", "the chosen pattern has no option tail (pattern.tail); "
         "choose pattern=delay or partial_delay or stereo_delay or stereo_partial_delay"),
        ("train", "pattern.stride=2", "the chosen pattern has no option stride (pattern.stride); choose pattern="),
        ("train", "pattern=stack_stride pattern.stide=2", "unknown key pattern.stide; did you mean pattern.stride?"),
        ("train", "family.span=2", "the chosen family has no option span (family.span); choose family="),
        ("prepare", "pattern.tail=untrained", "unknown key pattern.tail"),
        ("train", "+judges.more._target_=musicbench.evaluation.judges.musicnn.MusiCNN", "unknown key judges.more;"),
        ("train", "patern=delay", "unknown key patern; did you mean pattern?"),
        ("train", "foo", "'foo' is no override"),
        ("train", "a=b=c", "'a=b=c' is no override"),
        ("train", "--steps=3", "'--steps=3' is no override"),
        ("train", "model=null", "must be a string"),
        ("train", "~training.steps", "training.steps is missing"),
        ("train", "data.seconds=.nan", "data.seconds"),
        ("prepare", "stages=corpus", "stages=corpus must be a list"),
        ("evaluate", "run=3", "run=3 must be text"),
    ],
)  # fmt: skip
def test_mistyped_overrides(refused, command, override, message):
    line = refused(command, *override.split(" "))
    assert message in line
    assert str(shipped_folder("conf")) not in line, "no places of this machine"


def test_values_are_of_the_chosen_group(refused):
    compose("prepare", ["corpus=recordings", "corpus.packages=[openclonk-data]"])
    assert "corpus.packages=all must be a list" in refused("prepare", "corpus=recordings", "corpus.packages=all")
    assert "corpus.folder=3 must be text" in refused("prepare", "corpus=recordings", "corpus.folder=3")


@pytest.mark.parametrize(
    "arguments",
    [
        ["trian"],
        ["plan", "os.getcwd", "--frames", "3"],
        ["plan", "os.environ", "--frames", "3"],
        ["plan", "os.path.join", "--frames", "3"],
        ["plan", "delay", "--frames", "3", "--fraems", "3"],
        ["plan", "delay", "--frames", "1000000000"],
        ["plan", "delay", "--frames", "3", "--delays="],
        ["plan", "delay", "--frames", "3", "--delays=0,1,2,99999999999"],
        ["generate", "\udcff", "--run", "x"],
    ],
    ids=repr,
)
def test_mistyped_arguments(refused, arguments):
    refused(*arguments)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("codec.name_or_folder=nowhere", "no codec nowhere"),
        ("codec._target_=nowhere.at_all", "nowhere.at_all"),
        ("+codec.foo=3", "unexpected keyword argument 'foo'"),
    ],
)
def test_mistakes_of_a_part_are_its_own_words(override, message):
    from musicbench.runs.compose import instantiated

    with pytest.raises(UserError, match=message) as error:
        instantiated("codec", compose("train", [override], typed=True).codec)
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize(
    "stage",
    [
        3,
        "abc",
        {},
        {"steps": 100},
        {"steps": "a", "seconds": 1},
        {"steps": 1.5, "seconds": 1},
        {"steps": 1, "seconds": NAN},
        {"steps": 0, "seconds": 1},
        {"steps": 1, "seconds": 99},
        {"steps": 1, "seconds": 1, "more": 1},
    ],
    ids=str,
)
def test_malformed_stages_of_a_length_warmup(stage):
    from musicbench.data.stages import stages

    with pytest.raises(UserError, match=r"training\.length_warmup"):
        stages([stage], frames=40, crops=2, frame_rate=10.0, accumulate=1)
