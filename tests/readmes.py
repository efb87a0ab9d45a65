"""The READMEs of the repository, and what stands in them: commands, code, links."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROOMS = sorted({path.parent for path in (ROOT / "musicbench").glob("*/[!_]*.py")})
READMES = [
    ROOT / "README.md",
    *(ROOT / folder / "README.md" for folder in ("sweeps", "results", "musicbench")),
    *(room / "README.md" for room in ROOMS),
    *sorted((ROOT / "results").glob("*/README.md")),
]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_ENDS_OF_A_COMMAND = {"&&", "||", ";", "|", "&"}


class Text(NamedTuple):
    """A piece of a README, with its place for the test's name."""

    place: str
    text: str


class Command(NamedTuple):
    """A command as it is typed: its program without a folder, and its arguments; a variable before it is left out."""

    place: str
    program: str
    arguments: list[str]


def name(readme: Path) -> str:
    return readme.relative_to(ROOT).as_posix()


def blocks(readme: Path, language: str) -> list[Text]:
    """Fenced blocks of one language."""
    text = readme.read_text(encoding="utf-8")
    found = [match for match in _FENCE.finditer(text) if match[1] == language]
    return [Text(f"{name(readme)}:{text[: match.start()].count(chr(10)) + 1}", match[2]) for match in found]


def prose(readme: Path) -> str:
    """All but the fenced blocks."""
    return _FENCE.sub("", readme.read_text(encoding="utf-8"))


def spans(readme: Path) -> list[str]:
    """Code between single backticks in the prose."""
    return re.findall(r"`([^`]+)`", prose(readme))


def job_scripts(readme: Path) -> list[Text]:
    """Blocks for ``sbatch``."""
    return [block for block in blocks(readme, "sh") if "#SBATCH" in block.text]


def commands(readme: Path) -> Iterator[Command]:
    """The commands of the shell blocks but for job scripts, and those that stand in the prose with arguments."""
    for block in blocks(readme, "sh"):
        if "#SBATCH" not in block.text:
            for line in block.text.replace("\\\n", " ").splitlines():
                yield from _of_line(block.place, line)
    for span in spans(readme):
        if re.match(r"(\.venv/bin/)?(musicbench|make|wandb) \S", span):
            yield from _of_line(f"{name(readme)} in prose", span.removesuffix(" ..."))


def _of_line(place: str, line: str) -> Iterator[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _ENDS_OF_A_COMMAND:
            words.append(word)
            continue
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words.pop(0)
        if words:
            yield Command(place, Path(words[0]).name, words[1:])
        words = []
