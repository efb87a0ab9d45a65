"""What is bundled: small enough to ship, and each part with a card that says what it is and may be used for."""

import json
from pathlib import Path

import pytest

ASSETS = Path(__file__).parents[1] / "musicbench" / "assets"
PARTS = ("codec_mini", "clap_mini", "judge_musicnn", "tokens")


def test_all_of_it_is_below_30_megabytes() -> None:
    sizes = {path: path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 30e6, sorted(sizes.items(), key=lambda item: -item[1])[:8]


def test_every_large_file_belongs_to_a_part_with_a_card() -> None:
    large = {path.parent.name for path in ASSETS.rglob("*") if path.is_file() and path.stat().st_size > 100_000}
    assert large <= set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_cards_name_licences(part: str) -> None:
    card = json.loads((ASSETS / part / "card.json").read_text())
    assert card.get("licence") or card.get("licences")


def test_the_codec_beats_its_floor_at_every_level_it_must() -> None:
    test = json.loads((ASSETS / "codec_mini" / "card.json").read_text())["test"]
    codec, floor = test["codec"], test["floor"]
    assert codec["clips"] >= 40 and codec["snr_db"][-1] > floor["snr_db"][-1] + 0.3
    assert codec["mel_distance"][-1] < 0.9 * floor["mel_distance"][-1]
    assert codec["kld"][-1] < floor["kld"][-1]
    assert min(codec["perplexity"]) > 1024 / 4
