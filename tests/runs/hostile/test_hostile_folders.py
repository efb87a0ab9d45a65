"""A stranger's folder names code, variables and paths: nothing of it is run, by any command that reads it."""

import json
import sys
from pathlib import Path

import pytest

from musicbench import cli
from musicbench.seals import sealed_text
from tests.runs.hostile.edits import CANARY, Edit, setting, touching

HOSTILE: dict[str, tuple[Edit, str]] = {
    "sympy": (setting("codec", {"_target_": "sympy.sympify", "a": "1"}), "codec._target_ names sympy.sympify"),
    "torch": (setting("codec._target_", "torch.utils.collect_env.run"), "names torch.utils.collect_env.run"),
    "distutils": (setting("text._target_", "distutils.spawn.spawn"), "text._target_ names distutils.spawn.spawn"),
    "our own": (setting("codec._target_", "musicbench.files.atomic_path"), "names musicbench.files.atomic_path"),
    "of another group": (setting("codec._target_", "musicbench.models.sampling.Sampling"), "codec._target_ names"),
    "nested": (touching("text.extra"), "text.extra._target_ names os.system"),
    "judge": (touching("judges.clap"), "judges.clap._target_ names os.system"),
    "unknown role": (touching("judges.more"), "judges.more._target_ names os.system"),
    "logger": (touching("logger"), "logger._target_ names os.system"),
    "unknown key": (touching("decode.zzz"), "decode.zzz._target_ names os.system"),
    "unknown group": (touching("zzz.deep.er"), "zzz.deep.er._target_ names os.system"),
    "in a list": (setting("training.length_warmup", [{"_target_": "os.getcwd"}]), "names os.getcwd"),
    "family": (setting("family._target_", "os.getcwd"), "family._target_ names os.getcwd"),
    "decode": (setting("decode._target_", "os.getcwd"), "decode._target_ names os.getcwd"),
    "no name": (setting("codec._target_", ["os.getcwd"]), "codec._target_ must be the name of"),
    "pattern": (setting("pattern.pattern", "stranger.spiral"), "pattern.pattern names stranger.spiral"),
    "pattern of ours": (setting("pattern.pattern", "musicbench.plans.patterns.delay"), "pattern.pattern names"),
    "arguments": (setting("codec._args_", ["mini"]), "unknown key codec._args_"),
    "partial": (setting("text._partial_", True), "unknown key text._partial_"),
    "recursive": (setting("decode._recursive_", False), "unknown key decode._recursive_"),
    "convert": (setting("judges.fad._convert_", "all"), "unknown key judges.fad._convert_"),
    "unknown option": (setting("text.extra", 3), "unknown key text.extra"),
    "logger's settings": (setting("logger.settings", {"base_url": "elsewhere"}), "unknown key logger.settings"),
    "variable": (setting("row", "${oc.env:SECRET}"), "row has an interpolation"),
    "node": (setting("label", ["${seed}"]), "label has an interpolation"),
    "variable in a part": (setting("codec.name_or_folder", "${oc.env:SECRET}"), "codec.name_or_folder has an"),
    "variable in a key": (setting("codec.${oc.env:SECRET}", 3), "is no key of a configuration"),
    "missing": (setting("output", "???"), "output has no value"),
    "a date": (lambda config, _: config.update(row=__import__("datetime").date(2020, 1, 1)), "row is neither text"),
}


@pytest.mark.parametrize(("edit", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_run_folder_is_never_executed(refused, hostile, untouched, monkeypatch, edit, message):
    folder = hostile(edit)
    monkeypatch.chdir(folder)
    for arguments in (["generate", "tune", "--run", folder], ["evaluate", f"run={folder}"]):
        line = refused(*arguments)
        assert message in line
        untouched(line)


@pytest.mark.parametrize("kind", ["nested", "unknown key", "pattern", "variable"])
def test_training_on_in_a_stranger_s_folder(hostile, untouched, overrides, monkeypatch, kind):
    folder = hostile(HOSTILE[kind][0])
    (folder / "record.json").unlink()
    monkeypatch.chdir(folder)
    cli.main(["train", *overrides])
    (folder / "config.yaml").unlink()  # it still holds what the test wrote
    untouched("")


@pytest.mark.parametrize("name", ["../up", "/nowhere"])
def test_a_logger_writes_into_the_run_folder_only(refused, overrides, tmp_path, name):
    assert "is outside of the run folder" in refused("train", *overrides, f"logger.name={name}")
    assert not (tmp_path / "up").exists()


@pytest.mark.parametrize("kind", ["sympy", "nested", "unknown key", "pattern", "variable"])
def test_a_rescorer_s_folder_is_never_executed(refused, hostile, untouched, overrides, kind):
    edit, message = HOSTILE[kind]
    folder = hostile(edit)
    masked = ["family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]", f"decode.rescorer={folder}"]
    line = refused("train", *overrides, *masked)
    assert message in line
    untouched(line)


def test_the_refusal_says_how_to_allow_a_name(refused, hostile):
    line = refused("generate", "--run", hostile(setting("codec._target_", "mine.Codec")))
    assert "config.yaml: codec._target_ names mine.Codec" in line
    assert "name it in a file of conf/codec or on the command line of what runs it (codec._target_=mine.Codec)" in line


@pytest.mark.parametrize("place", ["given", "marked"])
def test_code_in_a_run_folder_is_not_taken_even_if_it_is_named(refused, hostile, untouched, monkeypatch, place):
    folder = hostile(setting("pattern.pattern", "stranger.spiral"))
    monkeypatch.chdir(folder)
    if place == "given":  # no marks but that it was named as a run
        for name in ("trained", "record.json", "best.ckpt", "last.ckpt"):
            (folder / name).unlink()
        line = refused("generate", "tune", "--run", folder, "--", "pattern.pattern=stranger.spiral")
        assert "best.ckpt" in line or "stranger" in line
    else:
        line = refused("plan", "stranger.spiral", "--frames", "3")
        assert "stranger" in line
    untouched(line)
    assert str(folder) not in sys.path


def test_code_that_is_linked_into_a_run_folder(refused, hostile, untouched, monkeypatch, tmp_path):
    folder = hostile(lambda *_: None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.py").symlink_to(folder / "stranger.py")
    monkeypatch.chdir(elsewhere)
    line = refused("plan", "linked.spiral", "--frames", "3")
    assert "lies in the run folder" in line
    untouched(line)


def bomb(width: int = 10, depth: int = 9) -> str:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "content",
    [bomb(), "a: " + "[" * 5000, "seed: 1\nseed: 2\n", "codec: !!python/name:os.system", "row: a\0b", "? [a]\n: 3\n"],
    ids=["bomb", "deep", "twice", "tag", "NUL", "odd key"],
)
def test_yaml_that_is_more_than_values(refused, hostile, trained_run, tmp_path, content):
    (trained_run / "config.yaml").write_text(sealed_text(content), encoding="utf-8")
    assert "config.yaml" in refused("generate", "--run", trained_run)
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(f"method: grid\nparameters:\n  pattern: {{values: [delay]}}\n{content}\n", encoding="utf-8")
    if not content.startswith(("seed", "?")):
        assert "sweep.yaml" in refused("sweep", sweep, "--dry-run")


def test_records_carry_configurations_as_data_only(trained_run, tmp_path, capsys):
    """A record's configuration names code that nobody makes; its checksum is the writer's own."""
    from musicbench.study.records import read_record, write_record

    record = read_record(trained_run / "record.json")
    record["config"]["codec"] = {"_target_": "os.system", "command": f"touch {tmp_path / CANARY}"}
    folder = tmp_path / "strangers"
    write_record(folder / "records" / "delay-seed0.json", record)
    read_record(folder / "records" / "delay-seed0.json")
    cli.main(["table", str(folder)])
    assert not (tmp_path / CANARY).exists()
    assert json.loads((folder / "records" / "delay-seed0.json").read_text())["config"]["codec"]


@pytest.mark.parametrize("link", [False, True])
def test_a_stored_cache_elsewhere_is_not_written_to(hostile, tmp_path, tmp_path_factory, monkeypatch, link):
    victim = tmp_path_factory.mktemp("victim")
    cache = tmp_path / "cached" if link else victim / "deep"
    if link:
        cache.symlink_to(victim)
    folder = hostile(setting("cache", str(cache)))
    monkeypatch.chdir(tmp_path_factory.mktemp("current"))
    assert cli.main(["evaluate", f"run={folder}"]) == 0
    assert not list(victim.iterdir()) and (Path.cwd() / "runs" / "cache").is_dir()
