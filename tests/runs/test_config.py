"""Every shipped configuration composes; mistakes in overrides are one line."""

import pytest
from omegaconf import OmegaConf

from musicbench.errors import UserError
from musicbench.runs.compose import amend, compose, plain, shipped_folder

CONF = shipped_folder("conf")
NAMES = ("train", "prepare", "doctor", "bench_evaluate", "bench_decode", "bench_train", "bench_scale", "bench_table")


def choices(name: str) -> list[tuple[str, str]]:
    """(group, choice) of every group that the configuration's defaults list names."""
    text = OmegaConf.load(CONF / f"{name}.yaml")
    groups = [next(iter(entry)) for entry in text.get("defaults", []) if not isinstance(entry, str)]
    return [(group, path.stem) for group in groups for path in sorted((CONF / group).glob("*.yaml"))]


def test_no_group_is_forgotten():
    used = {group for name in NAMES for group, _ in choices(name)}
    assert used == {path.parent.name for path in CONF.glob("*/*.yaml")}
    assert not list(CONF.glob("*/*/*.yaml"))


@pytest.mark.parametrize(("name", "group", "choice"), [(n, *pair) for n in NAMES for pair in choices(n)])
def test_every_choice_composes(name, group, choice):
    config = plain(compose(name, [f"{group}={choice}"]))
    content = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{choice}.yaml"))
    if group == "experiment":
        del content["defaults"]
        assert contains(config, content)
    else:
        assert contains(config[group], {key: value for key, value in content.items() if key != "defaults"})


def contains(whole: dict, part: dict) -> bool:
    """Whether a composed configuration says what a file says: then the file, laid over it, changes nothing."""
    return OmegaConf.to_container(OmegaConf.merge(whole, part), resolve=True) == whole


def test_evaluate_takes_what_train_takes():
    overrides = ["experiment=demo", "pattern=stack", "schedule=block_4", "data.store=elsewhere"]
    evaluate = plain(compose("evaluate", [*overrides, "system=uniform"]))
    own = dict.fromkeys(("run", "prompts", "audio", "captions", "originals"))
    assert evaluate == {**plain(compose("train", overrides)), **own, "system": "uniform"}


def test_targets_exist():
    """A `_target_` with a spelling mistake would be found only when the run needs it."""
    from hydra.utils import get_object

    found = {
        line.split()[1] for path in CONF.rglob("*.yaml") for line in path.read_text().splitlines() if "_target_" in line
    }
    assert len(found) >= 4
    for target in found:
        assert callable(get_object(target))


def test_experiments_can_be_changed_from_the_command_line():
    config = compose("train", ["experiment=demo", "training.steps=7", "model=small", "seed=3"])
    assert (config.training.steps, config.model.layers, config.seed) == (7, 6, 3)
    assert compose("train", ["experiment=demo"]).model.layers == 2


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("train", ["pattern=dealy"], "dealy"),
        ("train", ["schedule=block_5"], "block_5"),
        ("train", ["experiment=nothing"], "nothing"),
        ("train", ["patern=delay"], "patern"),
        ("train", ["training.stepz=5"], "stepz"),
        ("train", ["sed=5"], "sed"),
        ("train", ["pattern.delays=[0,1"], r"\[0,1"),
        ("train", ["training.steps"], "training.steps"),
        ("train", ["seed=${nothing}"], "nothing"),
        ("evaluate", ["sytem=uniform"], "sytem"),
        ("prepare", ["stagez=[codec]"], "stagez"),
    ],
)
def test_mistakes_are_one_line_that_names_them(name, overrides, words):
    with pytest.raises(UserError, match=words) as error:
        compose(name, overrides)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("train", "training.steps=abc", r"training\.steps=abc must be a whole number, such as 2000"),
        ("train", "training.steps=null", r"training\.steps=null must be a whole number"),
        ("train", "training.steps=[4]", r"training\.steps=\[4\] must be a whole number"),
        ("train", "seed=x", "seed=x must be a whole number"),
        ("train", "seed=null", "seed=null must be a whole number"),
        ("train", "seed=-1", "seed=-1 must be 0 .. 4294967295"),
        ("train", "model.from_codebooks=perhaps", r"from_codebooks=perhaps must be true or false"),
        ("evaluate", "decode.cfg=three", r"decode\.cfg=three must be a number"),
        ("prepare", "corpus.hours=many", r"corpus\.hours=many must be a number"),
    ],
)
def test_numbers_are_checked_before_anything_runs(name, override, message):
    with pytest.raises(UserError, match=message) as error:
        compose(name, [override])
    assert "\n" not in str(error.value)


def test_what_has_no_number_by_default_is_free():
    config = compose("train", ["trainer.threads=2", "row=5", "pattern.delays=[0,1,1,1]", "optimiser.clip_norm=0"])
    assert (config.trainer.threads, config.row, config.optimiser.clip_norm) == (2, 5, 0)


def test_help_lists_groups_and_choices(capsys):
    with pytest.raises(SystemExit) as end:
        compose("train", ["--help"])
    text, errors = capsys.readouterr()
    assert (end.value.code, errors) == (0, "")
    assert "stack_delay" in text
    assert "block_4" in text
    assert "ema_decay" in text


def test_amend_changes_existing_keys_only():
    config = compose("train", [])
    assert amend(config, ["decode.cfg=2", "decode.top_k=5"]).decode.cfg == 2
    for wrong in (["decode.cgf=2"], ["nothing=1"], ["decode.cfg.x=1"]):
        with pytest.raises(UserError) as error:
            amend(config, wrong)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("override", ["decode.cfg", "=3", ""])
def test_amend_refuses_what_is_no_assignment(override):
    with pytest.raises(UserError):
        amend(compose("train", []), [override])


def test_plain_holds_no_omegaconf_objects():
    def check(node):
        assert type(node) in (dict, list, int, float, str, bool, type(None))
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            check(value)

    check(plain(compose("train", ["pattern.delays=[0,1,1,1]"])))
