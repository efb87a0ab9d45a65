"""Published claims: what ``claims.yaml`` may hold."""

from pathlib import Path
from typing import Literal, NotRequired, TypedDict, cast

from musicbench.errors import UserError
from musicbench.names import require_name
from musicbench.schema import read_yaml
from musicbench.study.inequality import LONGEST


class Paper(TypedDict):
    """The paper that makes the claim; ``place`` is the table or section there."""

    title: str
    arxiv: str
    place: str


class Claim(TypedDict):
    """One entry of ``claims.yaml``.

    ``certainty`` says how sure the published figure is: read in the paper itself, in its authors' release, or reported
    by others. ``inequality`` is ``<row>.<column key> < [<factor> *] <row>.<column key>``, or with ``>``; an equivalence
    ``<row>.<key> ~ <row>.<key> within <number> [%]``; or ``slope of <key> over <key> < 0``, or ``~ 0 within <number>``,
    of the ``rows``. ``reading`` says what of it is our own choice. ``discussion`` says of a claim that is not
    reproduced what may be the reason, what would settle it, and at what cost.
    """

    id: str
    sentence: str
    paper: Paper
    certainty: Literal["read", "released", "second-hand"]
    published: str
    table: str
    inequality: str
    rows: NotRequired[list[str]]
    reading: NotRequired[str]
    discussion: NotRequired[str]


def read_claims(path: Path) -> list[Claim]:
    """Read and check a ``claims.yaml``.

    Raises:
        UserError: not YAML, a field is missing or unknown, an id is used twice, or an equivalence does not say whose
            margin it has.
    """
    claims = cast(list[Claim], read_yaml(path, list[Claim], missing="; run this where results/ lies"))
    ids = [claim["id"] for claim in claims]
    for claim in claims:
        require_name(claim["table"], f"{path}: table of claim {claim['id']}")
        if len(claim["inequality"]) > LONGEST:
            raise UserError(f"{path}: the inequality of claim {claim['id']} has more than {LONGEST} characters")
        if "~" in claim["inequality"].split() and "reading" not in claim:
            raise UserError(f"{path}: claim {claim['id']} has a margin, which no paper gives; justify it in `reading`")
    for name in ids:
        if ids.count(name) > 1:
            raise UserError(f"{path}: claim {name} stands there twice; give each its own id")
    return claims
