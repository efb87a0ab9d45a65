"""Write a trained codec as a folder that ``load_codec`` reads, with a card.

Shape suffixes: K levels, V codebook size, D latent width.
"""

import json
from pathlib import Path
from typing import Any

from musicbench.codec_identity import WEIGHTS
from musicbench.codecs.mdct_codec import CARD, MdctNetwork
from musicbench.files import atomic_path, sha256_file
from musicbench.seals import CARD_SEAL, sealed


def export_codec(network: MdctNetwork, folder: Path, card: dict[str, Any]) -> None:
    """The network's files and its card, which gets the digest and sizes of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder)
    parameters = {
        "autoencoder": sum(parameter.numel() for parameter in network.parameters()),
        "codebooks": network.books_KVD.numel(),
    }
    write_card(folder, card | {"parameters": parameters, "sha256": sha256_file(folder / WEIGHTS)})


def write_card(folder: Path, content: dict[str, Any]) -> None:
    """A codec's card.json with its checksum: indented, with sorted keys, atomically."""
    with atomic_path(folder / CARD) as temporary:
        temporary.write_text(json.dumps(sealed(content, CARD_SEAL), indent=2, sort_keys=True) + "\n")
