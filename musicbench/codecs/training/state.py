"""One step of a codec training, and all that a resumed training needs.

Shape suffixes: B batch, K levels, T frames, N samples (in ``ND`` points), V codebook size, D latent width, L levels.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import torch

from musicbench.codecs.mdct_codec import MdctNetwork
from musicbench.codecs.mdct_network import start_from_audio
from musicbench.codecs.training.audio import RandomCrops
from musicbench.codecs.training.config import CodecTrainingConfig
from musicbench.codecs.training.losses import mel_error, negative_snr_db
from musicbench.codecs.training.quantizer import build_quantizer, fit_codebooks, quantize, straight_through
from musicbench.errors import UserError

START_FRAMES = 40_000  # to fit the linear path on
MAX_SKIPPED = 20
FRAMES_PER_CODE = 16  # to fit the first codebooks on


class CodecTraining:
    """State of one training; ``state_dict`` holds all that a resumed run needs to go on as if never stopped."""

    def __init__(self, config: CodecTrainingConfig, crops: RandomCrops) -> None:
        torch.manual_seed(config.seed)
        self.config, self.crops = config, crops
        self.network = MdctNetwork(config.shape).to(config.device)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.quantizer = build_quantizer(config.shape, config.decay, config.dead_share, self.generator)
        for codebook in self.quantizer:
            codebook.to(config.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.pool = ThreadPoolExecutor(config.workers)
        self.step = 0
        self.seconds = 0.0  # of all sessions
        self.skipped = 0  # steps in a row that were not finite
        self.losses: list[dict[str, float]] = []  # of the steps since the last validation
        self.curve: list[dict[str, Any]] = []  # validation figures

    def start(self) -> None:
        """Fit the linear path and the codebooks to random crops, so that the untrained codec is a linear one."""
        config = self.config
        batches = -(-START_FRAMES // (config.batch * config.crop_frames))
        audio_BN = torch.cat([self.crops.batch(config.batch) for _ in range(batches)]).to(config.device)
        start_from_audio(self.network.encoder, self.network.decoder, audio_BN)
        with torch.no_grad():
            wanted = -(-FRAMES_PER_CODE * config.shape.codebook_size // config.crop_frames)
            latent_ND = torch.cat([self._encode(part).flatten(0, 1) for part in audio_BN[:wanted].split(config.batch)])
        fit_codebooks(self.quantizer, latent_ND, config.batch * config.crop_frames, self.generator)

    def learning_rate(self) -> float:
        """Linear warm-up, then cosine over the steps."""
        config = self.config
        low, high = config.final_learning_rate, config.learning_rate
        cosine = low + (high - low) * 0.5 * (1 + math.cos(math.pi * min(self.step / config.steps, 1.0)))
        return cosine * min(1.0, (self.step + 1) / config.warmup_steps)

    def train_step(self) -> dict[str, float]:
        """One optimiser step; losses by name (SNR in dB).

        Raises:
            UserError: too many steps in a row were not finite.
        """
        config = self.config
        audio_BN = self.crops.batch(config.batch).to(config.device)
        # Parts in threads of their own wait for each other twice a step only; threads inside operators would
        # do so thousands of times, and crawl when other processes want a core.
        parts = audio_BN.chunk(config.workers)
        latents = list(self.pool.map(self._encode, parts))
        self.step += 1
        if not all(bool(latent_BTD.isfinite().all()) for latent_BTD in latents):
            return self._skip()  # before the codebooks, whose averages would keep it
        totals_LBTD = quantize(self.quantizer, torch.cat(latents), self._levels())
        totals = totals_LBTD.split([len(part) for part in parts], 1)
        drawn = int(torch.randint(len(config.mel_windows), (), generator=self.generator))
        window = repeat(config.mel_windows[drawn])
        results = list(self.pool.map(self._losses_and_gradients, parts, latents, totals, window))
        # Summed here, in order: threads that add to one .grad make a resumed training differ in the last bit.
        gradients = zip(*(result[1] for result in results), strict=True)
        for parameter, of_parts in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = sum(of_parts[1:], of_parts[0])
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        if not torch.isfinite(norm):
            return self._skip()
        self.optimiser.step()
        self.skipped = 0
        shares = [len(part) / len(audio_BN) for part in parts]
        losses = {
            name: sum(share * of_part[name] for share, (of_part, _) in zip(shares, results, strict=True))
            for name in results[0][0]
        }
        self.losses.append(losses)
        return losses

    def _skip(self) -> dict[str, float]:
        self.skipped += 1
        if self.skipped >= MAX_SKIPPED:
            raise UserError(
                f"{MAX_SKIPPED} codec steps in a row were not finite, up to step {self.step}; "
                "lower codec_training.learning_rate (the last checkpoint is kept)"
            )
        return {}

    def _encode(self, audio_BN: torch.Tensor) -> torch.Tensor:
        with torch.autocast(audio_BN.device.type, torch.bfloat16):
            latent_BTD: torch.Tensor = self.network.encoder(audio_BN)
        return latent_BTD

    def _losses_and_gradients(
        self, audio_BN: torch.Tensor, latent_BTD: torch.Tensor, totals_LBTD: torch.Tensor, mel_window: int
    ) -> tuple[dict[str, float], tuple[torch.Tensor, ...]]:
        config = self.config
        through_BTD, commitment = straight_through(latent_BTD, totals_LBTD)
        with torch.autocast(audio_BN.device.type, torch.bfloat16):
            decoded_BN = self.network.decoder(through_BTD)
        snr = negative_snr_db(audio_BN, decoded_BN)
        mel = mel_error(audio_BN, decoded_BN, config.shape.sample_rate, mel_window)
        loss = config.snr_weight * snr + config.mel_weight * mel + config.commitment_weight * commitment
        gradients = torch.autograd.grad(loss * len(audio_BN) / config.batch, list(self.network.parameters()))
        return {"snr": -snr.item(), "mel": mel.item(), "commit": commitment.item()}, gradients

    def _levels(self) -> int:
        config, levels = self.config, self.config.shape.levels
        dropped, kept = torch.rand((), generator=self.generator), torch.rand((), generator=self.generator)
        return 1 + int(kept * (levels - 1)) if dropped < config.level_dropout else levels

    def model(self) -> MdctNetwork:
        """The codec as it stands, a copy on the CPU."""
        model = MdctNetwork(self.config.shape)
        books_KVD = torch.stack([codebook.embed for codebook in self.quantizer])
        model.load_state_dict(self.network.state_dict() | {"books_KVD": books_KVD})
        return model.eval()

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, counters and random states."""
        return {
            "network": self.network.state_dict(),
            "quantizer": [codebook.state_dict() for codebook in self.quantizer],
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "losses": self.losses,
            "curve": self.curve,
            "crops": self.crops.random.bit_generator.state,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state_dict``."""
        for name in ("network", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        for codebook, of_level in zip(self.quantizer, state["quantizer"], strict=True):
            codebook.load_state_dict(of_level)
        for name in ("step", "seconds", "skipped", "losses", "curve"):
            setattr(self, name, state[name])
        self.crops.random.bit_generator.state = state["crops"]
        self.generator.set_state(state["generator"])
