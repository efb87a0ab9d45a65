"""Measure how fast a part is here, beside what the machine can do (bench decode, train, evaluate, scale, table)."""

import importlib

from musicbench.errors import UserError, did_you_mean

PARTS = ("decode", "train", "evaluate", "scale", "table")
"""Each is a module ``bench_PART`` beside this one, with a ``main``."""


def main(argv: list[str]) -> int:
    """``musicbench bench PART``; the part parses the remaining arguments."""
    if argv and argv[0] in ("-h", "--help"):
        print(f"usage: musicbench bench {'|'.join(PARTS)} ...\n\n{__doc__}")
        return 0
    if not argv:
        raise UserError(f"say what to measure: musicbench bench {'|'.join(PARTS)}")
    part, *rest = argv
    if part not in PARTS:
        raise UserError(f"cannot measure {part!r}, choose one of {', '.join(PARTS)}{did_you_mean(part, PARTS)}")
    code: int = importlib.import_module(f"musicbench.commands.bench_{part}").main(rest)
    return code
