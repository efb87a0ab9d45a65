"""Lines with the same choices share a composition, and are nevertheless what Hydra makes of each by itself."""

import itertools
import random

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from musicbench.errors import UserError
from musicbench.launch.sweep_file import command_of, expand
from musicbench.runs.compose import compose, plain, shipped_folder

CONF = shipped_folder("conf")
SWEEPS = sorted(shipped_folder("sweeps").glob("*.yaml"))
OPTIONS = {group.name: sorted(path.stem for path in group.glob("*.yaml")) for group in CONF.iterdir() if group.is_dir()}


def by_hydra(name: str, overrides: list[str]) -> dict:
    """All of it composed anew."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra_compose(name, overrides=overrides)
    OmegaConf.resolve(config)
    return plain(config)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_lines_of_the_shipped_sweeps(path):
    lines = expand(path)
    for line in random.Random(0).sample(lines, min(4, len(lines))):
        given = [*line, "output=elsewhere", "trainer.threads=1", "row=mine", "evaluation.speed_batches=[1,2]"]
        command = command_of(path)
        assert plain(compose(command, given)) == by_hydra(command, given)


GROUPS = ("family", "decode", "pattern", "schedule", "model", "trainer", "judges", "text", "codec", "logger")
CHOICES = [(group, option) for group in (*GROUPS, "experiment") for option in OPTIONS[group]]


@pytest.mark.parametrize(("group", "option"), CHOICES, ids=lambda part: str(part))
def test_every_option(group, option):
    """Values stand before and after the choices; the last of two values counts."""
    given = ["seed=3", f"{group}={option}", "training.steps=8", "seed=4", "label=[seed,training.steps]"]
    assert plain(compose("train", given)) == by_hydra("train", given)


def test_groups_given_as_values_and_deletions():
    for given in (
        ["logger={_target_:lightning.pytorch.loggers.CSVLogger,name:logs}"],
        ["training.length_warmup=[{steps: 2, seconds: 1.0}]", "++seed=2"],
        ["+pattern.delays=[0,1,2,3]", "pattern=delay"],
    ):
        try:
            expected = by_hydra("train", given)
        except Exception:
            with pytest.raises(UserError):
                compose("train", given)
            continue
        assert plain(compose("train", given)) == expected


def test_a_line_leaves_nothing_to_the_next():
    changed = ["pattern=flat", "training.steps=7", "training.length_warmup=[{steps: 2, seconds: 1.0}]"]
    before = plain(compose("train", ["pattern=flat"]))
    for _ in range(2):
        assert plain(compose("train", changed)) == by_hydra("train", changed)
        assert plain(compose("train", ["pattern=flat"])) == before == by_hydra("train", ["pattern=flat"])


def test_lines_with_the_same_choices_are_composed_once(monkeypatch):
    from musicbench.runs import compose as module

    module._chosen.cache_clear()
    calls = []
    monkeypatch.setattr(
        module, "hydra_compose", lambda *a, **o: (calls.append(o["overrides"]), hydra_compose(*a, **o))[1]
    )
    for seed, steps in itertools.product(range(3), (5, 6)):
        compose("train", ["pattern=flat", f"seed={seed}", f"training.steps={steps}"])
    assert calls.count(["pattern=flat"]) <= 2, "once to be changed, once to be compared with"


@pytest.mark.parametrize("given", ["sed=1", "model.dmi=3", "pattern=flta", "+seed.x=1", "~nothing", "seed"])
def test_mistakes_are_the_users(given):
    with pytest.raises(UserError):
        compose("train", [given])
