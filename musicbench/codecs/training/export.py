"""Write a trained codec as a folder that ``load_codec`` reads, with a card."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from musicbench.codecs.mdct_codec import WEIGHTS, MdctNetwork
from musicbench.files import atomic_path, sha256_file


def export_codec(network: MdctNetwork, folder: Path, card: dict[str, Any]) -> None:
    """The network's files and card.json; the card gets the digest and sizes of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder)
    parameters = {
        "autoencoder": sum(parameter.numel() for parameter in network.parameters()),
        "codebooks": network.books_KVD.numel(),
    }
    write_json(folder / "card.json", card | {"parameters": parameters, "sha256": sha256_file(folder / WEIGHTS)})


def machine() -> dict[str, Any]:
    """Processor and library versions, for cards."""
    processor = platform.processor()
    if Path("/proc/cpuinfo").is_file():
        names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    return {"cpu": processor, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Indented, with sorted keys, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
