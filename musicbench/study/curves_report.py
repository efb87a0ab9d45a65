"""``curves.md``: what fits of the training curves say of longer trainings, and which lines would cross."""

from musicbench.escapes import markdown_line, markdown_text
from musicbench.study.curves import FARTHEST, PowerLaw, crossings, row_law
from musicbench.study.markdown import markdown_grid
from musicbench.study.table import Table

_NEAR = 4.0
_INTRODUCTION = (
    "Bits per frame on validation pieces against the useful floating-point operations of training, the mean over "
    "seeds, fitted by floor + scale * x^-exponent from the first full-length crop on. The learning rate falls to its "
    "end within each training, so the last points lie lower than those of a training that would go on: read the "
    "extended lines as a question to a longer training, not as its answer."
)


def render_curves(table: Table) -> str:
    """The report as Markdown text; the same records give the same bytes."""
    laws = table_laws(table)
    header = ["Row", "Operations (10^12)", "At the end", "Floor", "Exponent"]
    header += [f"{_NEAR:g} times as many", f"{FARTHEST:g} times as many"]
    blocks = [f"# {markdown_line('Curves of training: ' + table.spec['title'])}", _INTRODUCTION]
    blocks += [markdown_grid(header, [[markdown_text(label), *_line(law)] for label, law in laws.items()])]
    turns = [
        f"- {markdown_text(turn.later)} would pass {markdown_text(turn.earlier)} after {_trillions(turn.flops)}."
        for turn in crossings(laws)
    ]
    within = f"up to {FARTHEST:g} times the measured operations"
    blocks += [f"## Lines that would cross {within}", "\n".join(turns) or "None."]
    return "\n\n".join(blocks) + "\n"


def table_laws(table: Table) -> dict[str, PowerLaw]:
    """Fits by label, of the rows that have curves in bits per frame."""
    laws = {row.spec["label"]: row_law(row.records) for row in table.rows if row.records}
    return {label: law for label, law in laws.items() if law is not None}


def _line(law: PowerLaw) -> list[str]:
    ends = [law(times * law.flops) for times in (1, _NEAR, FARTHEST)]
    at_the_end, near, far = (f"{bits:.2f}" for bits in ends)
    return [f"{law.flops / 1e12:.1f}", at_the_end, f"{law.floor:.2f}", f"{law.exponent:.2f}", near, far]


def _trillions(flops: float) -> str:
    return f"{flops / 1e12:.0f} * 10^12 operations"
