"""Captions that are true by construction: each phrase states attributes the rendering was made with."""

from typing import Any


def captions(attributes: dict[str, Any]) -> list[str]:
    """Four phrasings of one clip's attributes, the plainest first, with no claim beyond them."""
    players = players_phrase(attributes)
    tune = tune_phrase(attributes)
    tempo, bpm, metre = attributes["tempo"], attributes["bpm"], attributes["metre"]
    in_key = f" in {attributes['key']}" if attributes["key"] else ""
    mood = {"soft": "soft ", "loud": "loud "}.get(attributes["dynamics"], "")
    place = {"low": "in a low register", "high": "in a high register"}.get(attributes["register"], "")
    return [
        f"{article(tempo)} {tempo} {tune} for {players}{in_key}",
        f"{mood}{tempo} {tune} on {players}, {bpm} bpm{',' if in_key else ''}{in_key}",
        f"{players} playing {article(mood or tune)} {mood}{tune} in {metre} at {bpm} beats per minute"
        + (f", {place}" if place else ""),
        ", ".join(
            filter(None, (f"{mood}{tune}", f"{tempo} tempo", f"{metre} time", attributes["key"], players, place))
        ),
    ]


def tune_phrase(attributes: dict[str, Any]) -> str:
    """What is played, for example "Irish slip jig" or "classical piece by Mozart"."""
    form, tradition = attributes["form"], attributes["tradition"]
    if form == "movement":
        return f"{tradition} piece by {attributes['composer']}"
    return f"{tradition} {form}"


def players_phrase(attributes: dict[str, Any]) -> str:
    """Who plays, for example "flute with classical guitar, acoustic bass and drums"."""
    if attributes["ensemble"]:
        return str(attributes["ensemble"])
    lead, *others = attributes["instruments"]
    if attributes["texture"] == "solo":
        return f"solo {lead}"
    if attributes["texture"] in ("octaves", "unison"):
        return f"{lead} and {others[0]} in {attributes['texture']}"
    if attributes["texture"] == "drone":
        return f"{lead} over a drone of {others[0]}"
    if attributes["texture"] == "pad":
        return f"{lead} with sustained {others[0]} chords"
    company = [*others, *([attributes["percussion"]] if attributes["percussion"] else [])]
    listed = " and ".join(filter(None, (", ".join(company[:-1]), company[-1])))
    return f"{lead} with {listed}"


def article(phrase: str) -> str:
    """ "a" or "an" before ``phrase``."""
    return "an" if phrase.startswith(tuple("aeiouAEIOU")) else "a"
