"""Renders claims and their verdicts as Markdown."""

from collections import Counter
from collections.abc import Sequence

from musicbench.escapes import markdown_code, markdown_line, markdown_text
from musicbench.study.claims import Claim
from musicbench.study.markdown import markdown_grid
from musicbench.study.verdicts import Finding, Verdict
from musicbench.study.windows import ENOUGH, MARK
from musicbench.study.wording import MINUS

CERTAINTY = {
    "read": "read in the paper",
    "released": "from the authors' release",
    "second-hand": "second-hand",
}
ORDER: tuple[Verdict, ...] = ("reproduced", "contradicted", "undecided", "not testable here", "not tested")
DISCUSSED: tuple[Verdict, ...] = ("contradicted", "undecided")
"""Verdicts that a claim's ``discussion`` is about."""

INTRODUCTION = (
    "Each published claim is an inequality between cells of one of our tables. Reproduced: the numbers are certainly "
    "on the claim's side; contradicted: certainly on the other; undecided: neither. Certain means p < 5 %, two-sided, "
    "after Holm's correction over all tested claims of one kind (one column; all times are a kind), so that intervals "
    "are uncorrected and verdicts are corrected. Not testable here: the claim asks for a distance that the codec's own "
    "reconstruction would not certainly reach either, so that no row of tokens can show it.",
    "A difference is left - factor * right on the same clips, to be read against 0, with pieces resampled. With ~ it "
    "is an equivalence: reproduced if the interval lies inside the margin, by two one-sided tests, contradicted if it "
    "lies wholly outside; a margin in % is one of the right side's value, which then counts as known. A slope is the "
    "change of the first column with each doubling of the second, by least squares over the rows. A ratio of times is "
    "left / right, to be read against the factor, with a t interval of its logarithms over sessions of timing, three "
    "at least and minutes apart; beside it is the ratio of the rows' floors, the time of their matrix products alone. "
    "Other numbers cover the luck of training of each row that has several seeds; of a row with one seed a verdict is "
    "about this very training.",
    "FAD, KLD and the text score hear through one network, so that their verdicts are not independent evidence. Our "
    "corpus, codec and judges are small and our own: a verdict is about the order of decoding plans in this setting, "
    "and neither confirms nor refutes a published number. Our clap_mini stands in for CLAP, and is not CLAP.",
)


def render_claims(claims: Sequence[Claim], findings: Sequence[Finding]) -> str:
    """The report as Markdown text; the same claims and records give the same bytes."""
    counts = Counter(found.verdict for found in findings)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER)
    pairs = list(zip(claims, findings, strict=True))
    header = ["Claim", "Verdict", "Inequality", "Ours", "Seeds", "Difference, ratio or slope [95 %]"]
    header += ["p, corrected", "Published", "Published in"]
    sentences = ["- " + markdown_line(f"{claim['id']}: {_sentence(claim)}") for claim in claims]
    blocks = ["# Published claims", *map(markdown_line, INTRODUCTION), f"{len(claims)} claims: {summary}."]
    blocks += [f"Corrected together: {corrected}."] if (corrected := _kinds(findings)) else []
    blocks += [markdown_grid(header, [_line(claim, found) for claim, found in pairs])]
    if any(found.few_windows for found in findings):
        blocks += [f"{MARK} FAD of fewer than {ENOUGH} windows for each dimension of the judge's embeddings."]
    discussed = [
        f"**{markdown_text(claim['id'])}** ({found.verdict}): {markdown_text(claim['discussion'])}"
        for claim, found in pairs
        if found.verdict in DISCUSSED and "discussion" in claim
    ]
    blocks += ["## Why not", *discussed] if discussed else []
    return "\n\n".join([*blocks, "## In words", "\n".join(sentences)]) + "\n"


def undiscussed(claims: Sequence[Claim], findings: Sequence[Finding]) -> list[str]:
    """A warning for each claim that is contradicted or undecided and says nothing of the reason."""
    return [
        f"claim {claim['id']} is {found.verdict} and has no discussion"
        for claim, found in zip(claims, findings, strict=True)
        if found.verdict in DISCUSSED and "discussion" not in claim
    ]


def _kinds(findings: Sequence[Finding]) -> str:
    counts = {found.kind: found.together for found in findings if found.tested}
    return ", ".join(f"{count} of {markdown_text(kind)}" for kind, count in sorted(counts.items()))


def _line(claim: Claim, found: Finding) -> list[str]:
    paper = claim["paper"]
    source = f"{paper['title']} (arXiv {paper['arxiv']}), {paper['place']}; {CERTAINTY[claim['certainty']]}"
    verdict = found.verdict if not found.reason else f"{found.verdict}: {found.reason}"
    start = [markdown_text(claim["id"]), markdown_text(verdict), markdown_code(claim["inequality"])]
    ours = seeds = interval = corrected = "–"
    if found.values:
        ours = _ours(found)
        seeds = f"{found.sessions} sessions" if found.sessions else " / ".join(map(str, found.seeds))
        interval = f"{found.measure} {_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"
        interval += MARK if found.few_windows else ""
        interval += "" if found.floors is None else f"; floors {_number(found.floors)}"
    if found.tested:
        corrected = "< 0.001" if found.corrected < 0.001 else f"{found.corrected:.3f}"
    published = [markdown_text(claim["published"]), markdown_text(source)]
    return [*start, ours, seeds, interval, corrected, *published]


def _ours(found: Finding) -> str:
    if not found.over:
        return " against ".join(map(_number, found.values))
    return ", ".join(f"{_number(value)} at {_number(at)}" for value, at in zip(found.values, found.over, strict=True))


def _sentence(claim: Claim) -> str:
    reading = f" Our reading: {claim['reading'].strip()}" if "reading" in claim else ""
    rows = f" Rows: {', '.join(claim['rows'])}." if "rows" in claim else ""
    return f"{claim['sentence'].strip()} Table: {claim['table']}.{rows}{reading}"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", MINUS) if abs(value) < 100 else f"{value:.0f}".replace("-", MINUS)
