"""General MIDI instruments, with the names used in captions, and the ensembles built from them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Instrument:
    """``program`` counts from 0; ``low`` and ``high`` bound the median MIDI pitch of a part given to it."""

    name: str
    program: int
    family: str
    low: int
    high: int


INSTRUMENTS = {
    i.name: i
    for i in (
        Instrument("piano", 0, "keyboard", 45, 86),
        Instrument("harpsichord", 6, "keyboard", 48, 80),
        Instrument("vibraphone", 11, "mallets", 55, 84),
        Instrument("marimba", 12, "mallets", 48, 82),
        Instrument("xylophone", 13, "mallets", 65, 92),
        Instrument("church organ", 19, "organ", 45, 84),
        Instrument("accordion", 21, "reeds", 53, 84),
        Instrument("harmonica", 22, "reeds", 60, 86),
        Instrument("classical guitar", 24, "plucked", 44, 74),
        Instrument("steel-string guitar", 25, "plucked", 44, 76),
        Instrument("acoustic bass", 32, "plucked", 28, 48),
        Instrument("violin", 40, "strings", 58, 88),
        Instrument("viola", 41, "strings", 50, 76),
        Instrument("cello", 42, "strings", 38, 66),
        Instrument("pizzicato strings", 45, "strings", 42, 80),
        Instrument("harp", 46, "plucked", 45, 86),
        Instrument("string ensemble", 48, "strings", 40, 84),
        Instrument("choir", 52, "voices", 48, 76),
        Instrument("trumpet", 56, "brass", 55, 80),
        Instrument("trombone", 57, "brass", 42, 66),
        Instrument("tuba", 58, "brass", 30, 52),
        Instrument("French horn", 60, "brass", 44, 70),
        Instrument("soprano saxophone", 64, "woodwinds", 58, 82),
        Instrument("alto saxophone", 65, "woodwinds", 52, 76),
        Instrument("tenor saxophone", 66, "woodwinds", 46, 70),
        Instrument("baritone saxophone", 67, "woodwinds", 38, 62),
        Instrument("oboe", 68, "woodwinds", 59, 84),
        Instrument("bassoon", 70, "woodwinds", 38, 64),
        Instrument("clarinet", 71, "woodwinds", 52, 84),
        Instrument("piccolo", 72, "woodwinds", 76, 98),
        Instrument("flute", 73, "woodwinds", 62, 90),
        Instrument("recorder", 74, "woodwinds", 62, 90),
        Instrument("pan flute", 75, "woodwinds", 60, 88),
        Instrument("banjo", 105, "plucked", 50, 78),
        Instrument("bagpipe", 109, "reeds", 60, 80),
        Instrument("fiddle", 110, "strings", 58, 86),
    )
}

LEADS = (
    "piano", "harpsichord", "vibraphone", "marimba", "xylophone", "church organ", "accordion", "harmonica",
    "classical guitar", "steel-string guitar", "cello", "harp", "trumpet", "trombone", "French horn",
    "soprano saxophone", "alto saxophone", "oboe", "bassoon", "clarinet", "piccolo", "flute", "recorder",
    "pan flute", "banjo", "fiddle", "viola",
)  # fmt: skip
CHORDS = ("piano", "classical guitar", "steel-string guitar", "accordion", "harpsichord", "harp")
PADS = ("string ensemble", "choir", "church organ")
BASSES = ("acoustic bass", "cello", "tuba")
DRONES = ("bagpipe", "accordion", "string ensemble", "church organ")

# Players from top to bottom; parts are spread over them.
ENSEMBLES = {
    "string quartet": ("violin", "violin", "viola", "cello"),
    "string ensemble": ("string ensemble",),
    "woodwind quartet": ("flute", "oboe", "clarinet", "bassoon"),
    "brass quartet": ("trumpet", "trumpet", "French horn", "trombone"),
    "saxophone quartet": ("soprano saxophone", "alto saxophone", "tenor saxophone", "baritone saxophone"),
    "flute, viola and harp": ("flute", "viola", "harp"),
    "piano": ("piano",),
    "harpsichord": ("harpsichord",),
    "church organ": ("church organ",),
    "guitar duo": ("classical guitar", "classical guitar"),
    "choir": ("choir",),
    "accordion": ("accordion",),
    "harp": ("harp",),
    "marimba and vibraphone": ("vibraphone", "marimba"),
    "pizzicato strings": ("pizzicato strings",),
}
