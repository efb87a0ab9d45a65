"""Configurations made again from records: the same network, plan and sampling, and nothing that was not allowed."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from musicbench.assessment.adapters import sampling
from musicbench.errors import UserError
from musicbench.runs.compose import amend, plain
from musicbench.runs.identity import recorded_config, unrecorded
from musicbench.runs.recorded import configuration_of
from musicbench.runs.run import Run
from musicbench.study.records import read_record

RECORDS = sorted((Path(__file__).parents[2] / "results").glob("*/records/*.json"))


def holds(whole: Any, part: Any) -> bool:
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and holds(whole[key], value) for key, value in part.items())
    return whole == part


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_every_committed_record_of_a_trained_run_can_be_made_again(path: Path) -> None:
    record = read_record(path)
    if record["kind"] == "trained":
        again = recorded_config(plain(configuration_of(record["config"], path.name)))
        assert holds(again, record["config"]), "keys that came later may be added"


@pytest.mark.parametrize(
    "lines",
    [
        ("pattern=delay", "pattern.delays=[0,2]"),
        ("pattern=flat", "decode.cfg=1", "decode.top_k=5"),
        ("pattern=stack_delay", "schedule=block_4", "model.position=sinusoidal"),
        ("pattern=stack_stride", "pattern.stride=1"),
        ("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]", "decode.span=2", "family.context=null"),
        ("family=hybrid", "decode=hybrid_10s", "pattern=flat", "decode.masked.iterations=[3,2]", "decode.handover=0.5"),
    ],
    ids=lambda lines: "-".join(lines[:2]),
)
def test_a_run_made_again_has_the_network_the_cost_and_the_sampling_of_the_first(make_run, lines) -> None:
    first = make_run(*lines)
    content = recorded_config(first.plain)
    config = amend(configuration_of(deepcopy(content), "record"), [f"data.store={first.config.data.store}"])
    again = Run(config)
    again.parts.__dict__.update(encoder=first.parts.encoder)
    assert recorded_config(again.plain) == content
    one, other = first.model(), again.model()
    assert [(n, p.shape) for n, p in one.named_parameters()] == [(n, p.shape) for n, p in other.named_parameters()]
    assert sampling(again) == sampling(first)
    assert one.cost(40, sampling(first)) == other.cost(40, sampling(again))


@pytest.mark.parametrize("part", ["family", "decode", "model", "codec", "text", "data", "evaluation", "pattern"])
def test_a_record_that_lacks_a_part_is_refused(make_run, part: str) -> None:
    content = recorded_config(make_run().plain)
    del content[part]
    with pytest.raises(UserError, match=f"^record: its configuration has no {part}; evaluate the run again"):
        configuration_of(content, "record")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("family", {"name": "own.Family"}, "its family is 'own.Family'"),
        ("family", {"name": "magnt"}, "did you mean magnet"),
        ("family", {"name": "autoregressive", "_target_": "os.system"}, "names os.system, which no file of conf does"),
        ("codec", {"code": "own.Codec"}, r"its codec is code of its own \(own.Codec\)"),
        ("codec", {"_target_": "os.system", "command": "true"}, "names os.system, which no file of conf does"),
        ("pattern", {"pattern": "own.spiral"}, "names own.spiral, which no file of conf does"),
        ("text", {"source": "${oc.env:HOME}"}, "interpolation"),
        ("model", {"dim": -1}, "model.dim"),
        ("model", {"width": 3}, "model.width"),
        ("decode", {"cfg": "much"}, "decode.cfg"),
        ("other", {"key": 1}, "other"),
    ],
)
def test_what_a_strangers_record_may_not_say(make_run, key: str, value: Any, message: str) -> None:
    content = recorded_config(make_run().plain)
    content[key] = {**content.get(key, {}), **value} if key in ("model", "decode") else value
    with pytest.raises(UserError, match=message):
        configuration_of(content, "record")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cache", "/elsewhere"),
        ("output", "/elsewhere"),
        ("data.store", "/elsewhere"),
        ("evaluation.reference", "/elsewhere"),
        ("evaluation.fadtk", "/elsewhere"),
        ("judges.fad", {"_target_": "musicbench.evaluation.judges.musicnn.MusiCNN", "folder": "/elsewhere"}),
        ("logger", {"save_dir": "/elsewhere"}),
        ("trainer.devices", "99"),
        ("decode.rescorer", "/elsewhere"),
    ],
)
def test_a_record_does_not_say_where_this_machine_writes_reads_or_computes(make_run, key: str, value: Any) -> None:
    content = recorded_config(make_run("family=magnet", "decode=magnet_10s").plain)
    group, _, option = key.partition(".")
    content[group] = {**content.get(group, {}), option: value} if option else value
    with pytest.raises(UserError, match=f"^record: its configuration has {key}, which no record keeps; eval"):
        configuration_of(content, "record")


def test_a_configuration_has_only_keys_that_are_recorded_once_it_is_recorded(make_run) -> None:
    run = make_run()
    assert {"cache", "output", "data.store", "judges.fad", "trainer.threads"} <= set(unrecorded(run.plain))
    assert unrecorded(recorded_config(run.plain)) == []
