"""``musicbench COMMAND``: finds the command's module, and turns user errors into one line."""

import ast
import importlib
import os
import sys
import warnings
from pathlib import Path

from musicbench import named_code
from musicbench.errors import UserError, did_you_mean
from musicbench.launch.launcher import tidy_launcher_variables
from musicbench.names import one_line, visible

COMMANDS = (
    "demo", "prepare", "train", "convert", "generate", "evaluate", "sweep", "table", "time", "answers", "claims",
    "plan", "bench", "doctor",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run a command; exit code 0, 1 (failed check), 2 (user error) or 130 (interrupted)."""
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()  # here, because nothing catches what the interpreter's own last flush raises
    except UserError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader of a pipe has seen enough; point stdout away so that the interpreter's last flush is silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a disk, a folder or a network that does not do what it is asked
        place = f"{error.filename}: " if error.filename is not None else ""
        return _fail(
            f"{place}{error.strerror or error}; check that the file is there, the folder writable, the disk free"
        )
    except MemoryError as error:
        return _fail(f"out of memory ({error}); choose smaller sizes")
    except KeyboardInterrupt:
        print("\nmusicbench: interrupted; the same command goes on where it was", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}, choose one of {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}")
    # The tokenizer's threads warn after a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    named_code.forget()
    _take_nothing_from_the_current_folder()
    warnings.formatwarning = _one_line  # type: ignore[assignment]
    tidy_launcher_variables()
    code: int = importlib.import_module(f"musicbench.commands.{name}").main(rest)
    return code


def _take_nothing_from_the_current_folder() -> None:
    """Import nothing from where the user happens to be, in children either: it may be a stranger's folder.

    ``python -m`` looks there first. In a checkout that is not installed, this package itself is found so.
    """
    here = Path.cwd()
    if here != named_code.PACKAGE.parent:
        if sys.path and sys.path[0] in ("", str(here)) and not sys.flags.safe_path:
            del sys.path[0]
        os.environ["PYTHONSAFEPATH"] = "1"


def _fail(message: str) -> int:
    print(f"musicbench: error: {one_line(message)}", file=sys.stderr)
    return 2


def _one_line(message: Warning | str, *_: object) -> str:
    return f"musicbench: warning: {visible(str(message))}\n"


def _usage() -> str:
    lines = ["usage: musicbench COMMAND ...", ""]
    folder = Path(__file__).parent / "commands"
    for name in COMMANDS:
        # Read the docstring without importing torch.
        text = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:10} {text.splitlines()[0]}")
    return "\n".join([*lines, "", "`musicbench COMMAND --help` says more."])


if __name__ == "__main__":
    sys.exit(main())
