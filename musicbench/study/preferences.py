"""Preferences between pairs of systems, counted over answer sheets of the page's blind comparison."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from musicbench.escapes import markdown_line, markdown_text
from musicbench.study.answers import Sheet
from musicbench.study.hypotheses import holm
from musicbench.study.markdown import markdown_grid
from musicbench.study.statistics import LEVEL


@dataclass(frozen=True)
class Preference:
    """Preferences between two systems, over all sheets: answers for each, and those without preference.

    ``share`` is that of ``first`` among the answers that prefer one (nan without any), with its exact (Clopper and
    Pearson) 95 % interval; ``p_value`` is the exact two-sided binomial one for a share of one half, corrected by Holm
    for all pairs of the sheets.
    """

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    share: float
    low: float
    high: float
    p_value: float


def preferences(sheets: Sequence[Sheet]) -> list[Preference]:
    """Preferences of all pairs that were compared, in the order of the systems' names."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for sheet in sheets:
        for answer in sheet.answers:
            pair = (min(answer.system_a, answer.system_b), max(answer.system_a, answer.system_b))
            mirrored = {"A": "B", "B": "A"}.get(answer.answer, answer.answer)
            # As if the first of the pair had always been A.
            counts[pair][answer.answer if answer.system_a == pair[0] else mirrored] += 1
    found = []
    for (first, second), count in sorted(counts.items()):
        wins, losses = count["A"], count["B"]
        found.append((first, second, wins, losses, count["none"], *_exact(wins, wins + losses)))
    corrected = holm([entry[-1] for entry in found])
    return [Preference(*entry[:-1], p) for entry, p in zip(found, corrected, strict=True)]


def render_answers(sheets: Sequence[Sheet]) -> str:
    """The preferences as Markdown text, with what must be known to read them."""
    found = preferences(sheets)
    header = ["Pair", "First preferred", "Second preferred", "No preference", "Share of the first [95 %]", "p (Holm)"]
    lines = [
        [
            markdown_text(f"{one.first} / {one.second}"),
            *(str(count) for count in (one.wins, one.losses, one.ties)),
            "–" if math.isnan(one.share) else f"{one.share:.0%} [{one.low:.0%}, {one.high:.0%}]",
            f"{one.p_value:.3g}",
        ]
        for one in found
    ]
    answers = [answer.answer for sheet in sheets for answer in sheet.answers]
    _, low, high, p_side = _exact(answers.count("A"), answers.count("A") + answers.count("B"))
    notes = [
        "Shares leave out answers without preference; intervals and p-values are exact binomial ones, p-values "
        f"two-sided and corrected by Holm for {len(found)} pairs. They take answers as independent: several "
        "answers of one listener, or about one prompt, describe this listener and this prompt alone.",
        f"Side A was preferred {answers.count('A')} times and side B {answers.count('B')} times (share of A within "
        f"[{low:.0%}, {high:.0%}], p = {p_side:.3g}).",
    ]
    if failed := answers.count("failed"):
        notes.append(f"Left out: {failed} trials whose audio did not play.")
    if unmatched := sum(sheet.unmatched for sheet in sheets):
        notes.append(f"In {unmatched} trials the clips could not be made equally loud.")
    text = "\n".join(f"- {note}" for note in notes)
    title = f"{markdown_line(sheets[0].title)}: {len(answers)} answers on {len(sheets)} sheets"
    return f"{title}\n\n{markdown_grid(header, lines)}\n\n{text}\n"


def _exact(wins: int, count: int) -> tuple[float, float, float, float]:
    """Share, ends of its interval and p-value for one half."""
    if count == 0:
        return math.nan, 0.0, 1.0, 1.0
    test = binomtest(wins, count)
    ends = test.proportion_ci(LEVEL, method="exact")
    return wins / count, float(ends.low), float(ends.high), float(test.pvalue)
