"""What READMEs say can be done: commands are parsed and composed, code runs, links and names lead somewhere."""

import contextlib
import importlib.util
import io
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from musicbench import cli
from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.runs.compose import compose
from musicbench.runs.overrides import read_overrides
from musicbench.study.table_spec import read_spec
from tests.readmes import READMES, ROOMS, ROOT, Command, blocks, commands, job_scripts, name, prose, spans

COMPOSED = {"train": "train", "evaluate": "evaluate", "prepare": "prepare", "doctor": "doctor"}
"""Commands that take overrides, with their configurations."""
SYSTEMS_ASKED = ("run", "system", "audio", "prompts")
ELSEWHERE = {
    "wandb": ("login", "sync", "sweep", "agent"),
    "apt": ("install",),
    "pip": ("download",),
    "pre-commit": ("install",),
    "sbatch": ("job.sh",),
}
"""First arguments of programs that are not ours."""
COMMANDS = list({(c.program, *c.arguments): c for readme in READMES for c in commands(readme)}.values())


class Parsed(Exception):  # noqa: N818 - no error
    """The arguments of a command were accepted."""


def check(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails unless the command could be typed as it stands."""
    program, arguments = command.program, command.arguments
    if program == "musicbench":
        check_ours(arguments, monkeypatch)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
        assert arguments and set(arguments) <= set(targets)
    elif program == "source":
        assert arguments == [".venv/bin/activate"]
    else:
        assert arguments and arguments[0] in ELSEWHERE.get(program, ()), f"{program} is unknown here"
        if (program, arguments[0]) == ("wandb", "sweep"):
            assert (ROOT / arguments[1]).is_file()


def check_ours(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    kind, *rest = arguments
    assert kind in cli.COMMANDS, f"musicbench has no command {kind}"
    if kind == "bench" and rest:
        assert importlib.util.find_spec(f"musicbench.commands.bench_{rest[0]}")
        compose(f"bench_{rest[0]}", rest[1:], typed=True)
    elif not rest or rest == ["--help"]:
        return
    elif kind in COMPOSED:
        config = compose(COMPOSED[kind], rest, typed=True)
        if kind == "evaluate":
            assert sum(config[mode] is not None for mode in SYSTEMS_ASKED) == 1
    else:
        own, overrides = (rest[: rest.index("--")], rest[rest.index("--") + 1 :]) if "--" in rest else (rest, [])
        read_overrides(overrides, typed=True)
        given = parsed(kind, own, monkeypatch)
        for path in (value for value in vars(given).values() if isinstance(value, Path)):
            if path.suffix == ".yaml":
                assert (ROOT / path).is_file()


def parsed(kind: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the command's own parser makes of arguments; the command goes no further."""
    ordinary = Parser.parse_args

    def only(self: Parser, *given: Any) -> Any:
        raise Parsed(ordinary(self, *given))

    with monkeypatch.context() as patch:
        patch.setattr(Parser, "parse_args", only)
        with pytest.raises(Parsed) as accepted:
            importlib.import_module(f"musicbench.commands.{kind}").main(arguments)
    return accepted.value.args[0]


@pytest.mark.parametrize(
    "command", COMMANDS, ids=[f"{c.place} {c.program} {' '.join(c.arguments)}"[:90] for c in COMMANDS]
)
def test_commands_can_be_typed(command: Command, monkeypatch: pytest.MonkeyPatch):
    check(command, monkeypatch)


def test_readmes_hold_commands():
    assert len(COMMANDS) > 60
    assert {command.program for command in COMMANDS} >= {"musicbench", "make", "wandb", "pip", "apt"}
    ours = {command.arguments[0] for command in COMMANDS if command.program == "musicbench"}
    assert ours == set(cli.COMMANDS), "every command is shown somewhere"


@pytest.mark.parametrize(
    "line",
    [
        "musicbench tabel patterns_10s",
        "musicbench table patterns_10s --chekc",
        "musicbench train patern=delay",
        "musicbench train pattern=delay trainig.steps=3",
        "musicbench evaluate experiment=patterns_10s",
        "musicbench sweep sweeps/none.yaml",
        "musicbench bench decoding_of_dreams",
        "musicbench generate waltz --run runs/a -- decode.cfg",
        "make dmeo",
        "wandb swep sweeps/demo.yaml",
        "wandb sweep sweeps/none.yaml",
        "curl example.org",
    ],
)
def test_control_mistakes_are_seen(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    program, *arguments = line.split()
    with pytest.raises((AssertionError, UserError)):
        check(Command("", program, arguments), monkeypatch)


def test_job_scripts_stand_where_their_own_test_reads_them():
    assert [name(readme) for readme in READMES if job_scripts(readme)] == ["sweeps/README.md"]


PYTHON = [block for readme in READMES for block in blocks(readme, "python")]


@pytest.mark.parametrize("block", PYTHON, ids=[block.place for block in PYTHON])
def test_python_runs_and_prints_what_stands_beside_it(block: Any):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, block.place, "exec"), {"__name__": "readme"})
    assert printed.getvalue().splitlines() == re.findall(r"^print\(.*\)  # (.*)$", block.text, re.M)


def test_the_pattern_of_the_guide_is_a_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from musicbench import named_code, plans

    (guide,) = [block for block in PYTHON if "fine_first" in block.text]
    (tmp_path / "guide_of_patterns.py").write_text(guide.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    named_code.allow("pattern", "guide_of_patterns.fine_first")
    try:
        plan = plans.build("guide_of_patterns.fine_first", frames=5, levels=3)
    finally:
        named_code.forget()
    assert (plan.steps, plan.source[2].tolist()) == (15, [0, 3, 6, 9, 12])


def test_tables_of_the_readmes_are_specifications(tmp_path: Path):
    texts = [block.text for readme in READMES for block in blocks(readme, "yaml")]
    assert texts
    for text in texts:
        (tmp_path / "table.yaml").write_text(text, encoding="utf-8")
        assert read_spec(tmp_path / "table.yaml")["rows"]


def anchors(readme: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", prose(readme), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_links_lead_somewhere(readme: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(readme)):
        path, _, anchor = target.partition("#")
        assert not path.startswith(("http:", "/")), target
        if path.startswith("https:"):
            continue
        place = (readme.parent / path).resolve() if path else readme
        assert place.is_relative_to(ROOT) and place.exists(), target
        assert not anchor or anchor in anchors(place), target


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_files_that_are_named_exist(readme: Path):
    """Paths from the root of the checkout, and in rooms the names of modules and folders there."""
    places = [readme.parent, ROOT / "musicbench"] if readme.is_relative_to(ROOT / "musicbench") else []
    missing = []
    for span in spans(readme):
        if re.fullmatch(r"(conf|sweeps|results|tests|musicbench)/[\w./-]+", span):
            missing += [] if (ROOT / span).exists() else [span]
        elif re.fullmatch(r"[\w/]+(\.py|/)", span):
            missing += [] if not places or any((place / span).exists() for place in (*places, ROOT)) else [span]
    assert missing == []


@cache
def keys() -> set[str]:
    """Every key of every option in ``conf``, dotted, and the names of groups."""
    found: set[str] = set()
    for path in (ROOT / "conf").rglob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        group = path.parent.name if path.parent != ROOT / "conf" and path.parent.name != "experiment" else ""
        found |= {group} | set(leaves(content, f"{group}." if group else ""))
    return found | {"experiment"}


def leaves(tree: dict[str, Any], prefix: str) -> list[str]:
    found = []
    for key, value in tree.items():
        found += [f"{prefix}{key}"]
        found += leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else []
    return found


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_overrides_and_keys_of_the_prose_exist(readme: Path):
    given = [span.split("=")[0].lstrip("+") for span in spans(readme) if re.fullmatch(r"[a-z][\w.]*=\S+", span)]
    groups = "|".join(path.name for path in (ROOT / "conf").iterdir() if path.is_dir())
    given += [span for span in spans(readme) if re.fullmatch(rf"({groups})\.\w+", span) and not span.endswith(".py")]
    free = ("codec_training.shape.", "WANDB")
    unknown = [key for key in given if key not in keys() and not key.startswith(free)]
    assert unknown == []


@cache
def flags() -> set[str]:
    """The flags of all commands that take arguments."""
    texts = []
    for kind in set(cli.COMMANDS) - {"train", "evaluate", "prepare", "doctor", "bench"}:
        for words in ([kind, "--help"], *([[kind, "--estimate", "--help"]] if kind == "sweep" else [])):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
                cli.main(words)
            texts.append(printed.getvalue())
    return set(re.findall(r"--[a-z][a-z0-9-]*", "\n".join(texts)))


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_flags_of_the_prose_exist(readme: Path):
    named = {span.split()[0] for span in spans(readme) if span.startswith("--") and len(span) > 2}
    assert named <= flags()


def test_lengths():
    lengths = {name(readme): len(readme.read_text(encoding="utf-8").splitlines()) for readme in READMES}
    assert lengths["README.md"] <= 150
    rooms = {f"musicbench/{room.name}/README.md" for room in ROOMS} - {"musicbench/evaluation/README.md"}
    assert {room: lengths[room] for room in rooms if lengths[room] > 40} == {}


def test_every_room_is_on_the_map():
    text = (ROOT / "musicbench" / "README.md").read_text(encoding="utf-8")
    assert [room.name for room in ROOMS if f"| [{room.name}]({room.name}/README.md) |" not in text] == []


def rows(text: str) -> dict[str, dict[str, str]]:
    """Cells of all Markdown tables by row and column; the same row of several tables is one."""
    found: dict[str, dict[str, str]] = {}
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif set(line) - set("|-: "):
            found.setdefault(cells[0], {}).update(zip(header, cells, strict=True))
    return found


def test_the_figures_of_the_demo_are_those_of_its_records():
    committed = rows((ROOT / "results" / "demo" / "table.md").read_text(encoding="utf-8"))
    shown = {row: cells for row, cells in rows(prose(ROOT / "README.md")).items() if "Bits/frame ↓" in cells}
    assert len(shown) >= 6 and all(len(cells) == 4 for cells in shown.values())
    for row, cells in shown.items():
        assert cells == {column: committed[row][column] for column in cells}
