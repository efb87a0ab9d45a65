"""A codec's card for people: README.md beside card.json, every figure taken from the card."""

from pathlib import Path
from typing import Any

from musicbench.escapes import markdown_code, markdown_line, markdown_text
from musicbench.files import atomic_path

COLUMNS = {
    "snr_db": "SNR (dB)",
    "mel_distance": "mel distance",
    "kld": "KLD (nats)",
    "perplexity": "perplexity of the level",
}


def write_page(card: dict[str, Any], path: Path) -> None:
    """Render the completed card."""
    test, training = card["test"], card["training"]
    codec, sizes, cpu = test["codec"], card["parameters"], markdown_text(training["machine"]["cpu"])
    lines = [
        "# Codec",
        "",
        f"{markdown_line(card['what'])}.",
        "",
        f"Trained by {markdown_code(training['command'])} on {training['data']['clips']} clips "
        f"({training['data']['seconds'] / 3600:.1f} h), {training['steps']} steps, "
        f"{training['wall_seconds'] / 60:.0f} min with {training['config']['workers']} threads on {cpu}. "
        f"{sizes['autoencoder']:,} parameters and {sizes['codebooks']:,} numbers in codebooks. "
        f"Encodes at {card['speed']['encode']:g} and decodes at {card['speed']['decode']:g} times real time "
        f"({markdown_text(card['speed']['unit'])}, {card['speed']['threads']} thread).",
        "",
        f"## {codec['clips']} test clips of {codec['clip_seconds']:g} s, with the first k levels",
        "",
        "| | k | kbit/s | " + " | ".join(COLUMNS.values()) + " |",
        "|---|" + "---:|" * (2 + len(COLUMNS)),
    ]
    for name in ("codec", "floor"):
        for k, rate in enumerate(test["kbit_per_second"]):
            values = " | ".join(f"{test[name][quantity][k]:.4g}" for quantity in COLUMNS)
            lines.append(f"| {name} | {k + 1} | {rate:g} | {values} |")
    lines += ["", markdown_line(f"Floor: {test['floor']['what']}. Judge: {test['judge']['id']}."), ""]
    formulas = test["metrics"] | {"kld": test["judge"]["kld"]}
    lines += ["- " + markdown_line(f"{COLUMNS[name]}: {formulas[name]}") for name in COLUMNS]
    for name in ("rate_distortion", "spectrograms", "training"):
        lines += ["", f"![{name.replace('_', ' ')}]({name}.png)"]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
