"""Converts MTT_musicnn of the PyPI package ``musicnn`` 0.1.0 (ISC) to safetensors, without TensorFlow.

``COMMAND`` below, run in the root of the repository, makes the bundled judge again.
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.judges.musicnn_network import MusiCNNNetwork
from musicbench.evaluation.judges.tf_checkpoint import read_tf_checkpoint
from musicbench.files import atomic_path, sha256_file
from musicbench.seals import CARD_SEAL, sealed

COMMAND = (
    "pip install --no-deps --target musicnn-package musicnn==0.1.0 && "
    "python -m musicbench.evaluation.judges.musicnn_convert musicnn-package musicbench/assets/judge_musicnn"
)
# TensorFlow numbers layers in the order in which they were built.
_CONVS = [f"front.{i}.conv" for i in range(5)] + [f"middle.{i}.conv" for i in range(3)]
_DENSES = ["dense", "output"]
_NORMS = [
    "input_norm",
    *[f"front.{i}.norm" for i in range(5)],
    *[f"middle.{i}.norm" for i in range(3)],
    "pool_norm",
    "dense_norm",
]
_NORM_FIELDS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torch_state(variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """TensorFlow variables -> the state of ``MusiCNNNetwork`` (optimiser slots are left behind)."""
    state: dict[str, np.ndarray] = {}
    for kind, layers in (("conv2d", _CONVS), ("dense", _DENSES), ("batch_normalization", _NORMS)):
        for number, layer in enumerate(layers):
            scope = f"{kind}_{number}" if number else kind
            if kind == "batch_normalization":
                for theirs, ours in _NORM_FIELDS.items():
                    state[f"{layer}.{ours}"] = variables[f"{scope}/{theirs}"]
                state[f"{layer}.num_batches_tracked"] = np.zeros((), np.int64)
            else:
                kernel = variables[f"{scope}/kernel"]  # [..., in, out]
                order = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
                state[f"{layer}.weight"] = kernel.transpose(order)
                state[f"{layer}.bias"] = variables[f"{scope}/bias"]
    return {name: torch.from_numpy(values.copy()) for name, values in state.items()}


def convert(package: Path, folder: Path) -> None:
    """Write ``model.safetensors`` and ``card.json`` into ``folder`` from an installed ``musicnn`` under ``package``.

    Raises:
        UserError: ``package`` does not hold musicnn 0.1.0.
    """
    info = package / "musicnn-0.1.0.dist-info"
    if not info.is_dir():
        raise UserError(f"{package} does not hold musicnn 0.1.0; run: {COMMAND.split(' && ')[0]}")
    state = torch_state(read_tf_checkpoint(f"{package / 'musicnn' / 'MTT_musicnn'}/"))
    network = MusiCNNNetwork()
    network.load_state_dict(state)
    weights = folder / "model.safetensors"
    with atomic_path(weights) as temporary:
        temporary.write_bytes(save(state))
    card = {
        "id": "musicnn-mtt",
        "about": "MusiCNN trained on MagnaTagATune: 200-d embedding and 50 tag logits of 3 s at 16 kHz mono",
        "source": "PyPI package musicnn 0.1.0, checkpoint MTT_musicnn",
        "papers": ["arXiv:1909.06654", "arXiv:1711.02520"],
        "licence": "ISC",
        "licence_text": (info / "LICENSE.md").read_text().strip(),
        "checkpoint_sha256": sha256_file(package / "musicnn" / "MTT_musicnn" / ".data-00000-of-00001"),
        "sha256": sha256_file(weights),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "labels": runpy.run_path(str(package / "musicnn" / "configuration.py"))["MTT_LABELS"],
        "command": COMMAND,
    }
    with atomic_path(folder / "card.json") as temporary:
        temporary.write_text(json.dumps(sealed(card, CARD_SEAL), indent=2) + "\n")


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except UserError as error:
        sys.exit(f"error: {error}")
