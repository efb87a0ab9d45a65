"""Renders claims and their verdicts as Markdown."""

from collections import Counter
from collections.abc import Sequence

from musicbench.escapes import markdown_code, markdown_line, markdown_text
from musicbench.study.claims import Claim, Finding, Verdict
from musicbench.study.markdown import markdown_grid
from musicbench.study.wording import MINUS

CERTAINTY = {
    "read": "read in the paper",
    "released": "from the authors' release",
    "second-hand": "second-hand",
}
ORDER: tuple[Verdict, ...] = ("reproduced", "contradicted", "undecided", "not tested")
INTRODUCTION = (
    "Each published claim is an inequality between cells of one of our tables. Reproduced: the 95 % interval lies "
    "wholly on the claim's side; contradicted: wholly on the other; undecided: it holds the limit. A difference is "
    "left - factor * right on the same clips, to be read against 0, with pieces resampled. It covers the luck of "
    "training where both rows have several seeds; with one seed a verdict is about these very trainings. A ratio of "
    "times is left / right, to be read against the factor, with a t interval of its logarithms over sessions of "
    "timing, three at least and minutes apart. Each claim is tested alone, without correction for their number. Our "
    "corpus, codec and judges are small and our own: a verdict is about the order of "
    "decoding plans in this setting, and neither confirms nor refutes a published number. Our clap_mini stands in for "
    "CLAP, and is not CLAP."
)


def render_claims(claims: Sequence[Claim], findings: Sequence[Finding]) -> str:
    """The report as Markdown text; the same claims and records give the same bytes."""
    counts = Counter(found.verdict for found in findings)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER)
    header = ["Claim", "Verdict", "Inequality", "Ours", "Difference or ratio [95 %]", "Published", "Published in"]
    lines = [_line(claim, found) for claim, found in zip(claims, findings, strict=True)]
    sentences = ["- " + markdown_line(f"{claim['id']}: {_sentence(claim)}") for claim in claims]
    blocks = ["# Published claims", markdown_line(INTRODUCTION), f"{len(claims)} claims: {summary}."]
    blocks += [markdown_grid(header, lines), "## In words", "\n".join(sentences)]
    return "\n\n".join(blocks) + "\n"


def _line(claim: Claim, found: Finding) -> list[str]:
    paper = claim["paper"]
    source = f"{paper['title']} (arXiv {paper['arxiv']}), {paper['place']}; {CERTAINTY[claim['certainty']]}"
    verdict = found.verdict if not found.reason else f"{found.verdict}: {found.reason}"
    start = [markdown_text(claim["id"]), markdown_text(verdict), markdown_code(claim["inequality"])]
    ours = interval = "–"
    if not found.reason:
        ours = f"{_number(found.left)} against {_number(found.right)}"
        what = "ratio" if found.ratio else "difference"
        interval = f"{what} {_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"
    return [*start, ours, interval, markdown_text(claim["published"]), markdown_text(source)]


def _sentence(claim: Claim) -> str:
    reading = f" Our reading: {claim['reading'].strip()}" if "reading" in claim else ""
    return f"{claim['sentence'].strip()} Table: {claim['table']}.{reading}"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", MINUS) if abs(value) < 100 else f"{value:.0f}".replace("-", MINUS)
