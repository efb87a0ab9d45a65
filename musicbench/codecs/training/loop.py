"""Train the mini codec on random crops of a corpus, with checkpoints, validation figures and a curve."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from musicbench import torch_files
from musicbench.codecs.mdct_codec import MdctCodec
from musicbench.codecs.training.audio import RandomCrops, read_split
from musicbench.codecs.training.config import CodecTrainingConfig
from musicbench.codecs.training.evaluate import reconstruction_figures
from musicbench.codecs.training.export import export_codec, machine
from musicbench.codecs.training.state import CodecTraining
from musicbench.errors import UserError
from musicbench.files import atomic_path

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
WHAT = (
    "ConvNeXt autoencoder of MDCT frames (in the manner of MDCTCodec, arXiv 2411.00464) with EnCodec's residual "
    "vector quantiser, trained by musicbench"
)


def train_codec(
    config: CodecTrainingConfig, corpus_folder: Path | str, output_folder: Path | str, command: str
) -> Path:
    """Train on the train split of a corpus, or go on where a stopped training of the same config left off.

    Writes ``checkpoint.pt``, ``log.jsonl`` (validation figures) and ``codec/`` (config.json, model.safetensors,
    card.json; renewed at each validation) into the output folder.

    Args:
        command: how the user started this, for the card.

    Returns:
        the codec's folder.

    Raises:
        UserError: no corpus, or the folder holds a training of another config.
    """
    torch.set_num_threads(1)
    corpus, output = Path(corpus_folder), Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    shape = config.shape
    train_clips = read_split(corpus, "train", shape.sample_rate)
    validation_clips = read_split(corpus, "validation", shape.sample_rate, config.validation_clips)
    training = CodecTraining(config, RandomCrops(train_clips, config.crop_frames * shape.hop, config.seed))
    checkpoint, log = output / CHECKPOINT, output / LOG
    if checkpoint.is_file():
        saved = torch_files.load(checkpoint, "config", "state")
        if saved["config"] != _plain(config):
            raise UserError(f"{checkpoint} is of another configuration; choose another output folder")
        training.load_state_dict(saved["state"])
        _drop_lines_after(log, training.step)
    else:
        log.unlink(missing_ok=True)
        training.start()

    def save() -> None:
        torch_files.save({"config": _plain(config), "state": training.state_dict()}, checkpoint)

    def validate() -> None:
        model = training.model()
        figures = reconstruction_figures(MdctCodec(model, str(output), ""), validation_clips, config.validation_seconds)
        with open(log, "a") as lines:
            line = {"step": training.step, "minutes": round(training.seconds / 60, 2), **figures}
            lines.write(json.dumps(line) + "\n")
        card = {
            "what": WHAT,
            "training": {
                "config": _plain(config),
                "data": {
                    "split": "train",
                    "clips": len(train_clips),
                    "seconds": round(sum(map(len, train_clips)) / shape.sample_rate),
                },
                "command": command,
                "machine": machine(),
                "steps": training.step,
                "wall_seconds": round(training.seconds),
            },
            "validation": figures,
        }
        export_codec(model, output / "codec", card)

    if training.step == 0:
        validate()  # the linear codec that training starts from
    with tqdm(desc="codec", unit="step", initial=training.step, total=config.steps) as bar:
        while training.step < config.steps:
            started = time.monotonic()
            losses = training.train_step()
            training.seconds += time.monotonic() - started
            bar.update()
            if training.step % 20 == 0:
                bar.set_postfix({name: f"{value:.2f}" for name, value in losses.items()})
            last = training.step == config.steps
            if last or training.step % config.validate_every == 0:
                validate()
            if last or training.step % config.checkpoint_every == 0:
                save()
    return output / "codec"


def _drop_lines_after(log: Path, step: int) -> None:
    """Validations after the checkpoint are made again."""
    lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step]
    with atomic_path(log) as path:
        path.write_text("".join(line + "\n" for line in lines))


def _plain(config: CodecTrainingConfig) -> dict[str, Any]:
    """The config with lists for tuples, as it comes back from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain
