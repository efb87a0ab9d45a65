"""Train the mini codec on random crops of a corpus, with checkpoints, validation figures and a curve."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from musicbench import torch_files
from musicbench.codecs.mdct_codec import MdctCodec, MdctNetwork
from musicbench.codecs.training.audio import RandomCrops, read_split
from musicbench.codecs.training.config import CodecTrainingConfig
from musicbench.codecs.training.evaluate import reconstruction_figures
from musicbench.codecs.training.export import export_codec
from musicbench.codecs.training.pictures import draw_training
from musicbench.codecs.training.state import CodecTraining
from musicbench.errors import UserError
from musicbench.files import atomic_path, sha256_file

LICENCE = "weights: MIT, as the rest of musicbench"
CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
WHAT = (
    "ConvNeXt autoencoder of MDCT frames (in the manner of MDCTCodec, arXiv 2411.00464) with EnCodec's residual "
    "vector quantiser, trained by musicbench"
)


def train_codec(
    config: CodecTrainingConfig, corpus_folder: Path | str, output_folder: Path | str, origin: dict[str, Any]
) -> Path:
    """Train on the train split of a corpus, or go on where a stopped training of the same config left off.

    Writes into the output folder: ``checkpoint.pt``; at each validation ``log.jsonl`` and ``codec/`` (config.json,
    model.safetensors, card.json, training.png).

    Args:
        origin: who made this, for the card: command, machine, commit.

    Returns:
        the codec's folder.

    Raises:
        UserError: no corpus, the folder holds a training of another config or corpus, or the losses are not finite.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # parallel parts bring their own
    try:
        return _train(config, Path(corpus_folder), Path(output_folder), origin)
    finally:
        torch.set_num_threads(threads)


def _train(config: CodecTrainingConfig, corpus: Path, output: Path, origin: dict[str, Any]) -> Path:
    output.mkdir(parents=True, exist_ok=True)
    shape, folder, checkpoint = config.shape, output / "codec", output / CHECKPOINT
    train_clips = read_split(corpus, "train", shape.sample_rate)
    validation_clips = read_split(corpus, "validation", shape.sample_rate, config.validation_clips)
    training = CodecTraining(config, RandomCrops(train_clips, config.crop_frames * shape.hop, config.seed))
    made_of = {"config": _plain(config), "corpus_sha256": sha256_file(corpus / "clips.jsonl")}

    def save() -> None:
        torch_files.save(made_of | {"state": training.state_dict()}, checkpoint)

    def export(network: MdctNetwork) -> None:
        seconds = round(sum(map(len, train_clips)) / shape.sample_rate)
        about = {
            **made_of,
            **origin,
            "data": {"split": "train", "clips": len(train_clips), "seconds": seconds},
            "steps": training.step,
            "wall_seconds": round(training.seconds),
        }
        card = {"what": WHAT, "licence": LICENCE, "training": about, "validation": training.curve[-1]}
        export_codec(network, folder, card)
        draw_training(training.curve, folder / "training.png")

    def validate() -> None:
        network = training.model()
        line: dict[str, Any] = {"step": training.step, "minutes": round(training.seconds / 60, 2)}
        line |= reconstruction_figures(MdctCodec(network, str(output), ""), validation_clips, config.validation_seconds)
        if losses := training.losses:
            line["train"] = {name: round(sum(x[name] for x in losses) / len(losses), 4) for name in losses[0]}
            training.losses = []
        training.curve.append(line)
        with atomic_path(output / LOG) as path:
            path.write_text("".join(json.dumps(line) + "\n" for line in training.curve))
        export(network)

    if checkpoint.is_file():
        saved = torch_files.load(checkpoint, "state", *made_of)
        if {name: saved[name] for name in made_of} != made_of:
            raise UserError(f"{checkpoint} is of another configuration or corpus; choose another output folder")
        training.load_state_dict(saved["state"])
        export(training.model())
    else:
        training.start()
        validate()  # the linear codec that training starts from
    with tqdm(desc="codec", unit="step", initial=training.step, total=config.steps) as bar:
        while training.step < config.steps:
            started = time.monotonic()
            found = training.train_step()
            bar.update()
            if training.step % 20 == 0:
                bar.set_postfix({name: f"{value:.2f}" for name, value in found.items()})
            last = training.step == config.steps
            if last or training.step % config.validate_every == 0:
                validate()
            training.seconds += time.monotonic() - started
            if last or training.step % config.checkpoint_every == 0:
                save()
    return folder


def _plain(config: CodecTrainingConfig) -> dict[str, Any]:
    """The config with lists for tuples, as it comes back from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain
