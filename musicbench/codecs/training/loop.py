"""Train the mini codec: a SEANet autoencoder with a residual quantiser, on random crops of a corpus."""

import dataclasses
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import EncodecModel

from musicbench import torch_files
from musicbench.codecs.encodec import EncodecCodec
from musicbench.codecs.training.audio import RandomCrops, read_split
from musicbench.codecs.training.config import CodecTrainingConfig
from musicbench.codecs.training.convert import to_transformers
from musicbench.codecs.training.evaluate import reconstruction_figures
from musicbench.codecs.training.export import export_codec, machine
from musicbench.codecs.training.losses import multi_scale_mel, negative_snr_db
from musicbench.codecs.training.network import build_autoencoder, forward
from musicbench.codecs.training.quantizer import build_quantizer, fit_codebooks, quantize
from musicbench.errors import UserError


class CodecTraining:
    """State of one training; ``state_dict`` holds all that a resumed run needs to go on as if never stopped."""

    def __init__(self, config: CodecTrainingConfig, crops: RandomCrops) -> None:
        torch.manual_seed(config.seed)
        self.config, self.crops = config, crops
        encoder, decoder = build_autoencoder(config, crops.batch(16))
        self.encoder, self.decoder = encoder.to(config.device), decoder.to(config.device)
        self.quantizer = build_quantizer(config).to(config.device)
        self.parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimiser = torch.optim.AdamW(
            self.parameters, config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        self.generator = torch.Generator().manual_seed(config.seed)
        self.pool = ThreadPoolExecutor(config.workers)
        self.step = 0
        self.seconds = 0.0

    @property
    def progress(self) -> float:
        """Share of the budget that is used, by steps or by the clock, whichever is further."""
        return max(self.step / self.config.steps, self.seconds / (60 * self.config.max_minutes))

    def learning_rate(self) -> float:
        """Linear warm-up, then cosine over the budget."""
        config = self.config
        low, high = config.final_learning_rate, config.learning_rate
        cosine = low + (high - low) * 0.5 * (1 + math.cos(math.pi * min(self.progress, 1.0)))
        return cosine * min(1.0, (self.step + 1) / config.warmup_steps)

    def train_step(self) -> dict[str, float]:
        """One optimiser step; losses by name (SNR in dB)."""
        started = time.monotonic()
        config = self.config
        audio_BN = self.crops.batch(config.batch).to(config.device)
        if self.step == config.bypass_steps:
            self._fit_codebooks()
        self.optimiser.zero_grad(set_to_none=True)
        # Parts in threads of their own wait for each other twice a step only; threads inside operators would
        # do so thousands of times, and crawl when other processes want a core.
        parts = audio_BN.chunk(config.workers)
        latents = list(self.pool.map(self._encode, parts))
        levels = self._levels()
        quantised = [self._quantise(latent_BDT, levels) for latent_BDT in latents]
        losses = list(self.pool.map(self._decode_and_backward, parts, *zip(*quantised, strict=True)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, config.clip_norm)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        self.seconds += time.monotonic() - started
        return {name: sum(part[name] for part in losses) / len(losses) for name in losses[0]}

    def _encode(self, audio_BN: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.config.device, torch.bfloat16):
            return forward(self.encoder, audio_BN[:, None]).float()

    def _quantise(self, latent_BDT: torch.Tensor, levels: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self.step < self.config.bypass_steps:
            return latent_BDT, latent_BDT.new_zeros(())
        return quantize(self.quantizer, latent_BDT, levels)

    def _decode_and_backward(
        self, audio_BN: torch.Tensor, through_BDT: torch.Tensor, commitment: torch.Tensor
    ) -> dict[str, float]:
        config = self.config
        with torch.autocast(config.device, torch.bfloat16):
            decoded_BN = forward(self.decoder, through_BDT)[:, 0]
        decoded_BN = decoded_BN.float()
        snr = negative_snr_db(audio_BN, decoded_BN)
        mel = multi_scale_mel(audio_BN, decoded_BN, config.sample_rate, config.mel_windows)
        loss = config.snr_weight * snr + config.mel_weight * mel + config.commitment_weight * commitment
        (loss * len(audio_BN) / config.batch).backward()
        return {"snr": -snr.item(), "mel": mel.item(), "commit": commitment.item()}

    def _levels(self) -> int:
        config = self.config
        dropped, kept = torch.rand((), generator=self.generator), torch.rand((), generator=self.generator)
        return 1 + int(kept * (config.levels - 1)) if dropped < config.level_dropout else config.levels

    @torch.no_grad()
    def _fit_codebooks(self) -> None:
        """k-means on latents of fresh crops, about 16 per code."""
        config = self.config
        per_crop = round(config.crop_seconds * config.sample_rate) // config.hop
        batches = -(-16 * config.codebook_size // (config.batch * per_crop))
        latents = []
        for _ in range(batches):
            audio_BN = self.crops.batch(config.batch).to(config.device)
            latents.append(self._encode(audio_BN).transpose(1, 2).flatten(0, 1))
        fit_codebooks(self.quantizer, torch.cat(latents), config.batch * per_crop, self.generator)

    def model(self) -> EncodecModel:
        """The codec as it stands, for transformers."""
        return to_transformers(self.encoder, self.decoder, self.quantizer, self.config.sample_rate).cpu()

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, counters and random states."""
        return {
            "encoder": self.encoder.state_dict(),
            "decoder": self.decoder.state_dict(),
            "quantizer": self.quantizer.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "crops": self.crops.random.bit_generator.state,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state_dict``."""
        for name in ("encoder", "decoder", "quantizer", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]
        self.crops.random.bit_generator.state = state["crops"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])


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
    train_clips = read_split(corpus, "train", config.sample_rate)
    validation_clips = read_split(corpus, "validation", config.sample_rate, config.validation_clips)
    samples = round(config.crop_seconds * config.sample_rate)
    training = CodecTraining(config, RandomCrops(train_clips, samples, config.seed))
    checkpoint = output / "checkpoint.pt"
    if checkpoint.is_file():
        saved = torch_files.load(checkpoint, "config", "state")
        if saved["config"] != _plain(config):
            raise UserError(f"{checkpoint} is of another configuration; choose another output folder")
        training.load_state_dict(saved["state"])

    def save() -> None:
        torch_files.save({"config": _plain(config), "state": training.state_dict()}, checkpoint)

    def validate() -> None:
        model = training.model()
        figures = reconstruction_figures(
            EncodecCodec(model, id=str(output), sha256=""), validation_clips, config.validation_seconds
        )
        with open(output / "log.jsonl", "a") as log:
            line = {"step": training.step, "minutes": round(training.seconds / 60, 2), **figures}
            log.write(json.dumps(line) + "\n")
        seconds = sum(map(len, train_clips)) / config.sample_rate
        card = {
            "what": "EnCodec (SEANet autoencoder without LSTM, residual vector quantiser), trained by musicbench",
            "training": {
                "config": _plain(config),
                "data": {"split": "train", "clips": len(train_clips), "seconds": round(seconds)},
                "command": command,
                "machine": machine(),
                "steps": training.step,
                "wall_seconds": round(training.seconds),
            },
            "validation": figures,
        }
        export_codec(model, output / "codec", card)

    with tqdm(desc="codec", unit="step", initial=training.step) as bar:
        while training.progress < 1.0:
            losses = training.train_step()
            bar.update()
            if training.step % 20 == 0:
                bar.set_postfix(done=f"{training.progress:.1%}", **{k: f"{v:.2f}" for k, v in losses.items()})
            if training.step % config.checkpoint_every == 0:
                save()
            if training.step % config.validate_every == 0:
                validate()
    save()
    validate()
    return output / "codec"


def _plain(config: CodecTrainingConfig) -> dict[str, Any]:
    """The config with lists for tuples, as it comes back from JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))
