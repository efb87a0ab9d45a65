"""A stranger's folder or file names code, variables and paths: nothing of it is run, by any command that reads it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from musicbench import cli, named_code
from musicbench.seals import sealed_text
from tests.helpers.real_run import environment

Edit = Callable[[dict[str, Any], Path], Any]
CANARY = "canary"


def setting(key: str, value: Any) -> Edit:
    """Put a value at a dotted key, whatever was there."""

    def edit(config: dict[str, Any], _: Path) -> None:
        *groups, last = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value

    return edit


def touching(key: str) -> Edit:
    """Code that leaves a file when it is made, at a dotted key."""

    def edit(config: dict[str, Any], folder: Path) -> None:
        command = f"{sys.executable} -c \"open(r'{folder / CANARY}', 'w')\""
        setting(key, {"_target_": "os.system", "command": command})(config, folder)

    return edit


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


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hush-hush")


@pytest.fixture
def hostile(trained_run: Path) -> Callable[[Edit], Path]:
    """Edit the configuration of a finished run; beside it lies a module that leaves a file when it is imported."""
    module = f"open(r'{trained_run / CANARY}', 'w')\ndef spiral(frames, levels): yield\n"
    (trained_run / "stranger.py").write_text(module, encoding="utf-8")

    def make(edit: Edit) -> Path:
        path = trained_run / "config.yaml"
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        edit(config, trained_run)
        path.write_text(sealed_text(yaml.safe_dump(config)), encoding="utf-8")  # a stranger's has a checksum too
        return trained_run

    return make


@pytest.fixture
def untouched(tmp_path: Path) -> Callable[[str], None]:
    """Nothing was executed, and no secret is in the message or in any file."""

    def check(line: str) -> None:
        assert not list(tmp_path.rglob(CANARY))
        assert "hush-hush" not in line
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or b"hush-hush" not in path.read_bytes()

    return check


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


SWEPT = [
    ("codec._target_", "os.getcwd", "codec._target_ names os.getcwd"),
    ("+codec.x", {"_target_": "os.getcwd"}, "codec.x._target_ names os.getcwd"),
    ("+training.x", [{"_target_": "os.getcwd"}], "names os.getcwd"),
    ("codec", {"_target_": "os.getcwd"}, "codec._target_ names os.getcwd"),
    ("++judges.fad._target_", "os.getcwd", "judges.fad._target_ names os.getcwd"),
    ("pattern.pattern", "stranger.spiral", "pattern.pattern names stranger.spiral"),
    ("pattern.pattern", "str(stranger.spiral)", "pattern.pattern names stranger.spiral"),
    ("row", "${oc.env:SECRET}", "interpolations are for files of conf"),
    ("row", r"$\{oc.env:SECRET\}", "interpolations are for files of conf"),
    ("codec", "${oc.env:SECRET}", "interpolations are for files of conf"),
    ("label", ["${seed}"], "interpolations are for files of conf"),
    ("hydra.searchpath", ["file:///tmp"], "Hydra's own settings"),
    ("+hydra/launcher", "basic", "Hydra's own settings"),
    ("experiment", "../../../stranger/evil", "write no path"),
    ("+experiment", ["demo", "../evil"], "write no path"),
    ("decode.cfg", "[2", "is no override"),
    ("seed", "1,2", "is no override"),
]


@pytest.mark.parametrize(("key", "value", "message"), SWEPT, ids=[f"{key}={value}" for key, value, _ in SWEPT])
@pytest.mark.parametrize("options", [["--dry-run"], [], ["--estimate"]], ids=["dry", "run", "estimate"])
def test_a_sweep_file_is_checked_before_anything_starts(refused, untouched, tmp_path, key, value, message, options):
    path = tmp_path / "sweep.yaml"
    parameters = {"pattern": {"values": ["delay"]}, key: {"value": value}}
    path.write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}), encoding="utf-8")
    line = refused("sweep", path, *([*options, "--output", tmp_path / "out"] if options != ["--estimate"] else options))
    assert message in line
    untouched(line)
    assert not (tmp_path / "out").exists()


def test_a_file_of_settings_for_an_estimate(refused, untouched, tmp_path):
    sweep, scale = tmp_path / "sweep.yaml", tmp_path / "scale.yaml"
    sweep.write_text("method: grid\nparameters:\n  pattern: {values: [delay]}\n", encoding="utf-8")
    scale.write_text("pattern.pattern: stranger.spiral\n", encoding="utf-8")
    line = refused("sweep", sweep, "--estimate", "--at", scale)
    assert "pattern.pattern names stranger.spiral" in line
    scale.write_text("decode.cfg: '[2'\n", encoding="utf-8")
    assert "is no override" in refused("sweep", sweep, "--estimate", "--at", scale)


def test_a_demo_of_a_stranger_s_sweep(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text("method: grid\nparameters:\n  codec._target_: {value: os.getcwd}\n", encoding="utf-8")
    assert "codec._target_ names os.getcwd" in refused("demo", "--sweep", "sweep.yaml")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "lines",
    [
        ["command: 3"],
        ["method: random", "run_cap: 1000000000000"],
        ["method: random", "run_cap: 2", "parameters: {seed: {distribution: [a]}}"],
        ["method: random", "run_cap: 2", "parameters: {seed: {distribution: q_uniform, min: 0, max: .inf}}"],
        ["method: random", "run_cap: 2", "parameters: {seed: {values: [1], probabilities: [a]}}"],
        ["method: random", "run_cap: 2", f"parameters: {{seed: {{min: 0, max: 1{'0' * 400}}}}}"],
        ["parameters: {" + ", ".join(f"p{n}: {{values: {list(range(99))}}}" for n in range(9)) + "}"],
        ["parameters: {'': {value: 3}}"],
    ],
    ids=["command", "cap", "kind", "infinite", "chances", "huge", "grid", "empty key"],
)
def test_a_sweep_file_that_cannot_be_counted(refused, tmp_path, lines):
    content = {"method": "grid", "parameters": {"seed": {"value": 3}}}
    content |= yaml.safe_load("\n".join(lines))
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    refused("sweep", tmp_path / "sweep.yaml", "--dry-run")


@pytest.mark.parametrize("command", ["train", "evaluate", "prepare", "doctor", "bench evaluate"])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("decode.cfg=[2", "is no override"),
        ("row=${oc.env:SECRET}", "interpolations are for files of conf"),
        (r"row=$\{oc.env:SECRET\}", "interpolations are for files of conf"),
        ("hydra.searchpath=[file:///tmp]", "Hydra's own settings"),
        ("codec=../../evil", "codec"),
        ("+zzz=3", "unknown key zzz"),
    ],
)
def test_overrides_that_mean_no_good(refused, untouched, command, override, message):
    line = refused(*command.split(), override)
    assert message in line
    untouched(line)


@pytest.mark.parametrize(
    "override",
    [
        "decode.cfg=[2",
        "row=${oc.env:SECRET}",
        "hydra.x=3",
        "+seed=3",
        "~seed",
        "zzz=3",
        "decode={cfg: 3}",
        "seed=1,2",
        "=3",
    ],
)
def test_overrides_of_a_trained_run_that_mean_no_good(refused, untouched, trained_run, override):
    untouched(refused("generate", "tune", "--run", trained_run, "--", override))


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "SLURM_NTASKS", "SLURM_PROCID"])
@pytest.mark.parametrize("value", ["", " ", "two", "1.5", "-1", "٣"])
def test_variables_of_a_launcher(refused, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    line = refused("train", "pattern=dealy")
    if value.strip():
        assert line.startswith(f"{name}={value} in the environment is no number")
    else:
        assert "dealy" in line
        assert name not in os.environ


@pytest.mark.parametrize("command", [["train", "pattern=dealy"], ["plan", "delay", "--frames", "3"]])
@pytest.mark.parametrize("started", ["command", "-m"])
def test_nothing_in_the_current_folder_is_imported(tmp_path, command, started):
    """Hydra looks for plugins, and packages that may be missing are tried, wherever Python looks for modules."""
    for name in ("hydra_plugins/evil/__init__.py", "yaml.py", "hydra/__init__.py", "numpy.py", "sitecustomise.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"open(r'{tmp_path / CANARY}', 'w')\n", encoding="utf-8")
    where = {**environment(), "PYTHONPATH": str(named_code.PACKAGE.parent)}
    script = "import sys; from musicbench.cli import main; sys.exit(main())"
    words = ["-m", "musicbench.cli"] if started == "-m" else ["-P", "-c", script]
    done = subprocess.run([sys.executable, *words, *command], cwd=tmp_path, env=where, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if command[0] == "train" else 0)
    assert not (tmp_path / CANARY).exists()


def test_children_import_nothing_from_the_current_folder_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert cli.main(["plan", "delay", "--frames", "3"]) == 0
    assert os.environ["PYTHONSAFEPATH"] == "1"
    assert sys.path == before


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
