"""A run with nothing but real parts, so small that its process costs little more than its imports."""

import os
import sys
from pathlib import Path

import numpy as np
import torch

FRAMES = 200  # 4 s

SIZES = (
    "data.seconds=2",
    "training.batch_size=4",
    "optimiser.warmup_steps=1",
    "optimiser.lr=0.003",
    "model.dim=16",
    "model.layers=1",
    "model.heads=2",
    "model.dropout=0.2",
    "model.from_codebooks=false",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "evaluation.seconds=3.5",
    "evaluation.samples=1",
    "evaluation.speed_batches=[]",
    "evaluation.clap_mini=null",
)

TRAIN = (sys.executable, "-m", "musicbench.cli", "train")


def make_store(folder: Path) -> list[str]:
    """A token store of the bundled codec with random codes, and MusiCNN's view of it; the overrides of a run on it."""
    from musicbench.codecs import load_codec
    from musicbench.data.store import Clip, write_store
    from musicbench.evaluation.judges import MusiCNN
    from musicbench.evaluation.references.stored import build_reference
    from musicbench.runs.contents import REFERENCE_FILE

    codec = load_codec()
    splits = ["train"] * 3 + ["validation"] * 3 + ["test"] * 2
    random = np.random.default_rng(0)
    codes_NKT = random.integers(0, codec.codebook_size, (len(splits), codec.levels, FRAMES))
    clips = [
        (Clip(f"{split}-{n}", f"piece-{n}", split, 0, 0, (f"tune {n}",), {}, {}), codes_NKT[n])
        for n, split in enumerate(splits)
    ]
    names = ("id", "sha256", "sample_rate", "frame_rate", "levels", "codebook_size")
    card = {"codec": {name: getattr(codec, name) for name in names}, "licences": [], "sources": []}
    write_store(folder / "tokens", iter(clips), card)
    originals = [
        (clip.id, clip.split, codec.decode(torch.from_numpy(codes_KT)[None])[0, 0], codec.sample_rate)
        for clip, codes_KT in clips
    ]
    build_reference(MusiCNN(), originals, folder / "tokens" / REFERENCE_FILE)
    return [f"data.store={folder / 'tokens'}", f"cache={folder / 'cache'}", *SIZES]


def environment() -> dict[str, str]:
    """For a process that is one of several, or alone: as this one's, but that no launcher started it."""
    ours = ("LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    kept = {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("SLURM_")}
    return kept | {"OMP_NUM_THREADS": "1"}
