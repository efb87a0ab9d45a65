"""LAION-CLAP with random weights in the checkpoint's format, shrunken: HTSAT-tiny and one layer of RoBERTa."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch


def write_vocabulary(folder: Path) -> Path:
    """A byte-level vocabulary without merges, filled up to 1200 tokens."""
    from tokenizers.pre_tokenizers import ByteLevel

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "<mask>"]
    tokens += [f"filler{number}" for number in range(1200 - len(tokens))]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def spread_weights(module: torch.nn.Module) -> None:
    """Weights large enough that different inputs end far apart."""
    torch.manual_seed(1)
    for name, parameter in module.named_parameters():
        if "norm" not in name.lower() and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=6 * parameter[0].numel() ** -0.5)
        if "embeddings.weight" in name:
            torch.nn.init.normal_(parameter, std=1.0)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder roberta-base of the real width and one layer."""
    from transformers import RobertaConfig, RobertaModel

    folder = write_vocabulary(tmp_path_factory.mktemp("text") / "roberta-base")
    config = RobertaConfig(vocab_size=1200, num_hidden_layers=1, max_position_embeddings=514, type_vocab_size=1)
    RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def laion_checkpoint(roberta: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As training wrote it: the weights of a wrapped module beside other state, with the position ids of then."""
    from contextlib import chdir

    with chdir(roberta.parent):
        from laion_clap import CLAP_Module

        module = CLAP_Module(enable_fusion=False, device="cpu", amodel="HTSAT-tiny")
    spread_weights(module.model.text_branch)
    spread_weights(module.model.text_projection)
    state = {f"module.{name}": value for name, value in module.model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    path = tmp_path_factory.mktemp("clap") / "music.pt"
    torch.save({"epoch": 15, "name": "music", "best": np.float64(0.9), "state_dict": state}, path)
    yield path
    path.unlink()
