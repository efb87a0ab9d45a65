"""Sweep files as grids of overrides."""

import itertools
import json

import pytest

from musicbench.errors import UserError
from musicbench.launch.sweep_file import expand, settings


@pytest.fixture
def sweep(tmp_path):
    def write(text: str):
        path = tmp_path / "sweep.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_grid_with_the_last_parameter_fastest(sweep):
    path = sweep(
        "program: musicbench\nmethod: grid\nparameters:\n"
        "  experiment: {value: demo}\n  pattern: {values: [delay, flat, stack]}\n  seed: {values: [0, 1]}\n"
    )
    wanted = [
        ["experiment=demo", f"pattern={pattern}", f"seed={seed}"]
        for pattern, seed in itertools.product(["delay", "flat", "stack"], [0, 1])
    ]
    assert expand(path) == wanted


def test_values_in_hydras_words(sweep):
    path = sweep(
        "method: grid\nparameters:\n  a: {values: [true, false, null, 1.0e-3, 10, text]}\n  b: {value: [0, 1, 1, 1]}\n"
    )
    assert [line[0] for line in expand(path)] == ["a=true", "a=false", "a=null", "a=0.001", "a=10", "a=text"]
    assert expand(path)[0][1] == "b=[0, 1, 1, 1]"


def test_lists_reach_hydra_whole(sweep):
    from musicbench.runs.compose import compose

    path = sweep(
        "method: grid\nparameters:\n  pattern: {value: delay}\n"
        "  pattern.delays: {values: [[0, 1, 1, 1], null]}\n  row: {value: partial delay}\n"
        "  optimiser.lr: {value: 3.0e-4}\n  seed: {value: 7}\n"
    )
    first, second = (compose("train", overrides) for overrides in expand(path))
    assert list(first.pattern.delays) == [0, 1, 1, 1]
    assert second.pattern.delays is None
    assert (first.row, first.optimiser.lr, first.seed) == ("partial delay", 3e-4, 7)


@pytest.mark.parametrize(
    "value",
    [
        [0, None, 1],
        {"a": None},
        {"a": {"b": [1, None, True]}, "c": 2.5e-7},
        ["two words", 'a "quoted", one', "größe", "null", "3"],
        [],
        {},
    ],
)
def test_nested_values_survive_hydra(sweep, value):
    from musicbench.runs.compose import compose, plain

    # JSON is YAML.
    ((override,),) = expand(sweep(f'method: grid\nparameters:\n  "+logger.new": {{value: {json.dumps(value)}}}\n'))
    assert plain(compose("train", [override], typed=True))["logger"]["new"] == value


def test_a_fixed_null_is_a_value(sweep):
    assert expand(sweep("method: grid\nparameters:\n  row: {value: null}\n")) == [["row=null"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: bayes\nparameters: {a: {values: [1]}}", "method must be 'grid' or 'random' .*, got 'bayes'"),
        ("parameters: {a: {values: [1]}}", "method must be 'grid' or 'random' .*, got None"),
        ("method: random\nparameters: {a: {values: [1]}}", "say how many runs, --count"),
        ("method: random\nrun_cap: 2\nparameters: {a: {min: 1}}", r"sweep\.yaml: parameter 'a' needs"),
        ("method: grid\nearly_terminate: {type: hyperband}\nparameters: {a: {value: 1}}", "early_terminate needs W&B"),
        ("method: grid\ncommand: [musicbench, seed=3]\nparameters: {a: {value: 1}}", "seed=3 in 'command:'"),
        ("method: grid", "no 'parameters:'"),
        ("method: grid\nparameters: [a, b]", "no 'parameters:'"),
        ("- method", "no 'parameters:'"),
        ("", "no 'parameters:'"),
        ("method: grid\nparameters: {a: {min: 0, max: 1}}", "parameter 'a' of a grid needs 'value:' or a"),
        ("method: grid\nparameters: {a: {values: []}}", "parameter 'a' of a grid needs"),
        ("method: grid\nparameters: {a: 3}", "parameter 'a' of a grid needs"),
        ("method: [grid", "no YAML"),
    ],
)
def test_mistakes_are_named(sweep, text, message):
    with pytest.raises(UserError, match=message):
        expand(sweep(text))


def test_random_search(sweep):
    text = "method: random\nrun_cap: 3\nparameters:\n  seed: {value: 1}\n  lr: {min: 0.001, max: 0.002}\n"
    three = expand(sweep(text))
    assert [line[0] for line in three] == ["seed=1"] * 3
    values = [float(line[1].removeprefix("lr=")) for line in three]
    assert len({0.001 <= value <= 0.002 for value in values}) == 1
    assert len(set(values)) == 3
    assert expand(sweep(text), count=5)[:3] == three
    assert expand(sweep(text), seed=1) != three
    for count in (0, -1):
        with pytest.raises(UserError, match="--count 1 or more"):
            expand(sweep(text), count=count)


def test_a_grid_has_no_count(sweep):
    with pytest.raises(UserError, match="leave out --count"):
        expand(sweep("method: grid\nparameters: {a: {value: 1}}"), count=3)


def test_words_for_agents_are_not_for_us(sweep):
    assert expand(sweep("method: grid\ncommand: [musicbench, logger=wandb]\nparameters: {a: {value: 1}}")) == [["a=1"]]


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the sweep file .*No such file"):
        expand(tmp_path / "nothing.yaml")
    with pytest.raises(UserError, match="cannot read the sweep file"):
        expand(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match=r"binary\.yaml is no YAML"):
        expand(tmp_path / "binary.yaml")


def test_settings_are_overrides(tmp_path):
    path = tmp_path / "scale.yaml"
    path.write_text("model: 300m\ntraining.steps: 5\noptimiser.betas: [0.9, 0.95]\n", encoding="utf-8")
    assert settings(path) == ["model=300m", "training.steps=5", "optimiser.betas=[0.9, 0.95]"]


@pytest.mark.parametrize("text", ["", "- a\n", "word\n"])
def test_settings_must_be_a_mapping(tmp_path, text):
    path = tmp_path / "scale.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="key: value"):
        settings(path)
