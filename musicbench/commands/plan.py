"""Print, draw or dump a decoding plan."""

import json
from pathlib import Path
from typing import Any

from musicbench import named_code
from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.text_table import text_table

_SHOWN = 24


def main(argv: list[str]) -> int:
    """``musicbench plan stack_delay --frames 12 --draw plan.png``."""
    from musicbench import plans

    parser = Parser(prog="musicbench plan", description=__doc__)
    parser.add_argument("pattern", nargs="?", help="pattern name, or package.module.function of your own")
    parser.add_argument("--compare", action="store_true", help="table of all patterns instead")
    parser.add_argument("--frames", type=int, required=True, metavar="N", help="clip length T")
    parser.add_argument("--levels", type=int, default=4, metavar="K", help="codebook levels (default 4)")
    parser.add_argument("--schedule", default="sequential", help="sequential, block_S or stride_S")
    parser.add_argument("--delays", metavar="D,D,..", help="delay of each level, for the delay pattern")
    parser.add_argument("--stride", type=int, metavar="R", help="steps from frame to frame, for stack_stride")
    parser.add_argument("--stream-0", choices=("full", "newest"), help="what stack-delay's stream of level 0 reads")
    parser.add_argument("--hide-same-step", action="store_true", help="positions of one step are blind to each other")
    parser.add_argument("--positional", choices=("step", "frame"), help="what position codes are made of")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="picture, .png or .svg")
    parser.add_argument("--json", action="store_true", help="dump the arrays")
    arguments = parser.parse_args(argv)

    if arguments.compare == (arguments.pattern is not None):
        raise UserError("give a pattern, or --compare for all of them")
    if arguments.compare:
        single = ("delays", "stride", "stream_0", "positional", "draw", "json")
        if given := [name for name in single if getattr(arguments, name)]:
            raise UserError(f"--compare takes no --{given[0].replace('_', '-')}; give a pattern instead")
        print(_comparison(arguments))
        return 0
    options: dict[str, Any] = {"same_step": not arguments.hide_same_step}
    if arguments.positional:
        options["positional"] = arguments.positional
    named_code.allow("pattern", arguments.pattern)
    try:
        if arguments.delays is not None:
            options["delays"] = [int(part) for part in arguments.delays.split(",")]
        for name in ("stride", "stream_0"):
            if getattr(arguments, name) is not None:
                options[name] = getattr(arguments, name)
        plan = plans.build(arguments.pattern, arguments.frames, arguments.levels, arguments.schedule, **options)
    except ValueError as error:
        raise UserError(str(error)) from error
    if arguments.draw:
        from musicbench.plans.draw import draw_plan

        if arguments.draw.suffix not in (".png", ".svg"):
            raise UserError(f"--draw {arguments.draw}: the suffix must be .png or .svg")
        with atomic_path(arguments.draw) as temporary:
            draw_plan(plan, temporary)
    print(json.dumps(_dump(plan)) if arguments.json else _text(plan))
    return 0


def _comparison(arguments: Any) -> str:
    from musicbench.plans.compare import compare

    frames, levels, same_step = arguments.frames, arguments.levels, not arguments.hide_same_step
    try:
        rows = list(compare(frames, levels, arguments.schedule, same_step))
    except ValueError as error:
        raise UserError(str(error)) from error
    titles = ("pattern", "steps", "positions", "peak cache", "side by side", "look-ahead", "unseen (mean, max)")
    cells = [
        [*map(str, row[:-1]), "-" if row.unseen is None else f"{row.unseen[0]:.2f}, {row.unseen[1]}"] for row in rows
    ]
    return f"{arguments.schedule} schedule, {levels} levels x {frames} frames\n\n{text_table(titles, cells)}"


def _dump(plan: Any) -> dict[str, Any]:
    """The plan under its public names; `expires` keeps the int64 maximum for "never"."""
    arrays = ("step", "reads", "predicts", "expires", "frame_in", "frame_out")
    numbers = (
        "pattern",
        "schedule",
        "frames",
        "levels",
        "same_step",
        "positional",
        "steps",
        "positions",
        "peak_cache",
    )
    return {name: getattr(plan, name) for name in numbers} | {name: getattr(plan, name).tolist() for name in arrays}


def _text(plan: Any) -> str:
    from musicbench.plans.draw import step_grid

    lines = [
        f"{plan.pattern}, {plan.schedule} schedule, {plan.levels} levels x {plan.frames} frames",
        f"steps {plan.steps}   positions {plan.positions}   peak cache {plan.peak_cache}",
        "",
        "step that draws each token:",
    ]
    grid_KT = step_grid(plan)[:, :_SHOWN]
    width = len(str(grid_KT.max())) + 1
    more = " ..." if plan.frames > _SHOWN else ""
    for k in reversed(range(plan.levels)):
        lines.append(f"  level {k} |" + "".join(f"{step:{width}}" for step in grid_KT[k]) + more)
    return "\n".join(lines)
