"""Write a trained codec as a folder that transformers and ``load_codec`` read."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from transformers import EncodecModel

from musicbench.files import atomic_path, sha256_file


def export_codec(model: EncodecModel, folder: Path, card: dict[str, Any]) -> None:
    """config.json, model.safetensors (fp16) and card.json; the card gets the digest and sizes of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / "model.safetensors") as path:
        path.write_bytes(save(weights, metadata={"format": "pt"}))
    config = model.config.to_diff_dict() | {"architectures": ["EncodecModel"], "dtype": "float16"}
    write_json(folder / "config.json", config)
    described = {"parameters": parameter_count(model), "sha256": sha256_file(folder / "model.safetensors")}
    write_json(folder / "card.json", card | described)


def parameter_count(model: EncodecModel) -> dict[str, int]:
    """Trained numbers: of the convolutions (all-zero LSTM weights are none) and of the codebooks."""
    convolutions = sum(p.numel() for p in model.parameters() if bool(p.any()))
    codebooks = sum(value.numel() for name, value in model.state_dict().items() if name.endswith("codebook.embed"))
    return {"autoencoder": convolutions, "codebooks": codebooks}


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
