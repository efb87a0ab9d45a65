"""A rebuilt token store beside the bundled one."""

import copy

from musicbench.data.store import TokenStore
from musicbench.preparation.stages import _beside_the_bundled
from musicbench.runs.settings import ASSETS


def test_the_bundled_store_is_itself():
    card = TokenStore.open(ASSETS / "tokens").card
    assert "the same as the bundled store" in _beside_the_bundled(card)


def test_what_differs_is_named():
    card = copy.deepcopy(dict(TokenStore.open(ASSETS / "tokens").card))
    card["codes_sha256"] = "0" * 64
    assert "the same makers, other codes" in _beside_the_bundled(card)
    renderer = card["soundfont"]["renderer"]
    card["soundfont"]["renderer"] = "fluidsynth 1.0"
    card["codec"]["sha256"] = "1" * 64
    said = _beside_the_bundled(card)
    assert f"renderer fluidsynth 1.0, not {renderer}" in said and "codec 111111111111, not" in said
