"""Print, draw or dump a decoding plan."""

import json
from inspect import signature
from pathlib import Path
from typing import Any

from musicbench import named_code
from musicbench.commands.arguments import Parser, add_flags
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.text_table import text_table

_COMPARED = ("frames", "levels", "schedule", "same_step")


def main(argv: list[str]) -> int:
    """``musicbench plan stack_delay --frames 12 --draw plan.png``."""
    from musicbench import plans

    options = _arguments(argv)
    pattern, draw, as_json = (options.pop(name) for name in ("pattern", "draw", "json"))
    compare = options.pop("compare")
    if compare == (pattern is not None):
        raise UserError("give a pattern, or --compare for all of them")
    try:
        if compare:
            single = [*(["draw"] if draw else []), *(["json"] if as_json else []), *options]
            if given := [name for name in single if name not in _COMPARED]:
                raise UserError(f"--compare takes no --{given[0].replace('_', '-')}; give a pattern instead")
            print(_comparison(**options))
            return 0
        plan = plans.build(pattern, **options)
    except ValueError as error:
        raise UserError(str(error)) from error
    if draw:
        from musicbench.plans.draw import draw_plan

        if draw.suffix not in (".png", ".svg"):
            raise UserError(f"--draw {draw}: the suffix must be .png or .svg")
        with atomic_path(draw) as temporary:
            draw_plan(plan, temporary)
    from musicbench.plans.show import as_plain, as_text

    print(json.dumps(as_plain(plan)) if as_json else as_text(plan))
    return 0


def _arguments(argv: list[str]) -> dict[str, Any]:
    """Parse arguments; flags are the parameters of ``plans.build``, of all patterns and of the user's own pattern."""
    from musicbench.plans.build import PATTERNS, find_pattern

    named = _parser(PATTERNS, add_help=False).parse_known_args([*argv, "--frames", "1"])[0].pattern
    own = named is not None and named not in PATTERNS and "." in named
    if own:
        named_code.allow("pattern", named)
        try:
            find_pattern(named)
        except ValueError as error:
            raise UserError(str(error)) from error
    return vars(_parser((named, *PATTERNS) if own else PATTERNS).parse_args(argv))


def _parser(patterns: tuple[str, ...], **settings: Any) -> Parser:
    from musicbench import plans
    from musicbench.plans.build import find_pattern

    parser = Parser(prog="musicbench plan", description=__doc__, **settings)
    parser.add_argument("pattern", nargs="?", help="pattern name, or package.module.function of your own")
    parser.add_argument("--compare", action="store_true", help="table of all patterns instead")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="picture, .png or .svg")
    parser.add_argument("--json", action="store_true", help="dump the arrays")
    known = ["pattern", "compare", "draw", "json", *add_flags(parser, plans.build, skip=("pattern",))]
    takers: dict[str, list[str]] = {}
    for pattern in patterns:
        for option in list(signature(find_pattern(pattern)).parameters)[2:]:
            takers.setdefault(option, []).append(pattern)
    group = parser.add_argument_group("options of patterns")
    notes = {option: f" ({', '.join(names)})" for option, names in takers.items()}
    for pattern in patterns:
        known += add_flags(group, find_pattern(pattern), skip=known, notes=notes)
    return parser


def _comparison(**options: Any) -> str:
    from musicbench.plans.compare import compare, schedule_facts

    rows = list(compare(**options))
    titles = ("pattern", "steps", "positions", "peak cache", "side by side", "look-ahead", "unseen (mean, max)")
    cells = [
        [*map(str, row[:-1]), "-" if row.unseen is None else f"{row.unseen[0]:.2f}, {row.unseen[1]}"] for row in rows
    ]
    facts = schedule_facts(**{name: value for name, value in options.items() if name != "same_step"})
    return f"{facts}\n\n{text_table(titles, cells)}"
