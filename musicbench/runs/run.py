"""From a configuration to the parts of a run: store, codec, caption states, model, judges."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from pathlib import Path
from typing import Any

import torch
import transformers
from omegaconf import DictConfig
from torch import Tensor

import musicbench
from musicbench import named_code
from musicbench.codecs.chunked import ChunkedCodec
from musicbench.conditions.caption_table import CaptionTable, caption_table
from musicbench.conditions.text import OneByOne, TextEncoder, TransformersEncoder
from musicbench.data.audio_folder import Listing, folder_sha256
from musicbench.data.hashing import ContentHashes
from musicbench.data.stages import Stage, stages
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.judge import ClapMini
from musicbench.evaluation.judge_set import JudgeSet
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judges.base import Judge, judge_key
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.evaluation.references.stored import Reference
from musicbench.files import sha256_file
from musicbench.runs.compose import instantiated, plain
from musicbench.runs.compose_errors import one_line
from musicbench.runs.identity import former_training_id, read_training_id, run_folder, run_id, training_id
from musicbench.runs.originals import Originals
from musicbench.training.checkpoints import BEST

ASSETS = Path(musicbench.__file__).parent / "assets"
# Its bars for weights that load in a blink would hide ours.
transformers.utils.logging.disable_progress_bar()

REFERENCE_FILE = "judge_musicnn.npz"

PRECISIONS = ("bf16-mixed", "16-mixed", "32-true")
"""What ``trainer.precision=auto`` may be."""


@dataclass(frozen=True)
class Assembly:
    """The parts that a configuration names, each loaded when first asked for."""

    config: DictConfig

    @cached_property
    def store(self) -> TokenStore:
        """The token store; its codec must be the configured one."""
        return TokenStore.open(store_folder(self.config.data.store))

    @cached_property
    def codec(self) -> ChunkedCodec:
        """The codec, checked against the store that was made with it."""
        codec: ChunkedCodec = instantiated("codec", self.config.codec).to(device())
        made_with = self.store.card["codec"]
        if made_with["sha256"] != codec.sha256:
            raise UserError(
                f"the token store was made with codec {made_with['id']} ({made_with['sha256'][:12]}), "
                f"not {codec.id} ({codec.sha256[:12]}); choose that codec or run `musicbench prepare`"
            )
        return codec

    @cached_property
    def encoder(self) -> Any:
        """The frozen text encoder."""
        return instantiated("text", self.config.text, device=device())

    @cached_property
    def captions(self) -> CaptionTable:
        """States of all captions of the store, computed once and cached."""
        texts = [caption for clip in self.store.clips for caption in clip.captions]
        return caption_table(texts, self.encoder, Path(self.config.cache) / "text")

    @cached_property
    def judges(self) -> JudgeSet:
        """The configured judges; those of equal configuration are one."""
        made: dict[str, Any] = {}
        for role in ("fad", "kld", "clap"):
            part = self.plain["judges"].get(role)
            same = next((other for other in made if self.plain["judges"][other] == part), None)
            if part is None and role != "clap":
                raise UserError(f"judges.{role} is missing; name a judge, as conf/judges/bundled.yaml does")
            if part is not None:
                made[role] = made[same] if same else instantiated("judges", part, device=device())
        return JudgeSet(**made)

    @cached_property
    def musicnn(self) -> Judge:
        """The judge through which clap_mini hears."""
        found = [judge for judge in self.judges.roles.values() if type(judge) is MusiCNN]
        return found[0] if found else MusiCNN(device=device())

    @property
    def listeners(self) -> list[Judge]:
        """All judges that must hear a clip."""
        return [*self.judges.roles.values(), *([] if self.clap is None else [self.musicnn])]

    @cached_property
    def latents(self) -> CodecLatents:
        """The codec's latents, which the codec distance compares."""
        return CodecLatents(self.codec)

    @cached_property
    def originals(self) -> Originals:
        """What the judges say of the original recordings."""
        return Originals(self)

    @cached_property
    def clap(self) -> ClapMini | None:
        """The text-audio judge; None where the configuration wants none."""
        name = self.config.evaluation.clap_mini
        if name is None:
            return None
        return ClapMini(ASSETS / "clap_mini" if name == "embedded" else Path(name))

    @cached_property
    def clap_encoder(self) -> TextEncoder:
        """The text encoder that the text-audio judge was trained on; the run's own if it is the same."""
        assert self.clap is not None
        if self.encoder.sha256 == self.clap.text_sha256:
            return self.encoder
        encoder = TransformersEncoder(self.clap.text_id, device())
        if encoder.sha256 != self.clap.text_sha256:
            raise UserError(
                f"clap_mini was trained on other weights of {self.clap.text_id} than those installed; "
                "train it again with `musicbench prepare stages=[clap]`"
            )
        return encoder

    def clap_states(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Padded states and mask of any captions for the text-audio judge; each depends on its caption alone."""
        table = caption_table(captions, OneByOne(self.clap_encoder), Path(self.config.cache) / "text")
        return table.batch(list(captions))

    @cached_property
    def reference(self) -> Reference:
        """MusiCNN's view of the original audio, kept in the token store."""
        return Reference.open(store_folder(self.config.data.store) / REFERENCE_FILE)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The configuration as plain containers, with the rescorer's folder by its name."""
        content = plain(self.config)
        if self.rescorer_folder is not None:
            content["decode"].get("masked", content["decode"])["rescorer"] = str(self.rescorer_folder)
        return content

    @cached_property
    def family(self) -> Any:
        """The LightningModule class of the configured generator family."""
        return named_code.load("family", self.config.family._target_)

    @property
    def rescorer_folder(self) -> Path | None:
        """Run folder of the autoregressive model that rescores masked decoding, if there is one.

        Raises:
            UserError: the configured pattern, such as ``runs/rescorer-*``, fits several folders.
        """
        decode = self.config.decode
        pattern = decode.get("masked", decode).get("rescorer")
        if pattern is None or self.config.get("system"):  # baselines do not decode
            return None
        found = sorted(glob(pattern))
        if len(found) > 1:
            raise UserError(f"rescorer={pattern} fits {len(found)} folders ({', '.join(found)}); name one")
        return Path(found[0] if found else pattern)

    @cached_property
    def identity(self) -> str:
        """Run id."""
        contents = self._own_files  # first: they say at once what is wrong with them, and show how far they are
        contents |= self._trained_on | {role: judge_key(judge) for role, judge in self.judges.roles.items()}
        contents["reference"] = self.originals.reference_sha256(self.judges.fad)
        if not self.config.get("captions"):
            contents["originals"] = self.originals.crops_sha256
        if self.rescorer_folder is not None:
            contents["rescorer"] = read_training_id(self.rescorer_folder)
        if self.clap is not None:
            contents["clap_mini"] = self.clap.sha256
        return run_id(self._precise, contents)

    @cached_property
    def hashes(self) -> ContentHashes:
        """Hashes of the recordings that this run has read."""
        return ContentHashes()

    @cached_property
    def audio(self) -> Listing:
        """The files of ``audio=FOLDER``, with those of ``captions=FILE``."""
        captions = self.config.captions
        return Listing.of(Path(self.config.audio), None if captions is None else Path(captions))

    @cached_property
    def own_originals(self) -> Listing:
        """The files of ``originals=FOLDER``."""
        return Listing.of(Path(self.config.originals))

    @property
    def _own_files(self) -> dict[str, str]:
        """Hashes of the folders and the captions that ``evaluate audio=FOLDER`` is given."""
        contents = {}
        if self.config.get("audio"):
            contents["audio"] = folder_sha256(self.audio.files, self.hashes)
        if self.config.get("originals"):
            contents["originals"] = folder_sha256(self.own_originals.files, self.hashes)
        if self.config.get("captions"):
            contents["captions"] = sha256_file(Path(self.config.captions))
        return contents

    def generation_identity(self, folder: Path) -> str:
        """What evaluations have in common whose held-out clips have the same codes: they differ in judges alone.

        Args:
            folder: of the run, whose weights count by content, as do the rescorer's.
        """
        clips = {key: self.plain["evaluation"][key] for key in ("split", "seconds", "per_piece")}
        contents = self._trained_on | {"device": device().type}
        for name, place in (("weights", folder), ("rescorer", self.rescorer_folder)):
            if place is not None and (place / BEST).is_file():
                contents[name] = sha256_file(place / BEST)
        return run_id({**self._precise, "evaluation": clips}, contents)

    @cached_property
    def training_identity(self) -> str:
        """What runs have in common that differ in nothing but decoding and evaluation."""
        return training_id(self._precise, self._trained_on)

    @cached_property
    def training_identities(self) -> frozenset[str]:
        """Training ids that weights of this configuration may have, whatever machine they were made on.

        ``trainer.precision=auto`` is another precision elsewhere.
        """
        wanted = PRECISIONS if self.config.trainer.precision == "auto" else (self.precision,)
        configs = [self._in_precision(name) for name in wanted]
        return frozenset(make(c, self._trained_on) for c in configs for make in (training_id, former_training_id))

    @property
    def _trained_on(self) -> dict[str, str]:
        return {
            "tokens": self.store.card["codes_sha256"],
            "clips": self.store.card["clips_sha256"],
            "codec": self.codec.sha256,
            "text": self.encoder.sha256,
        }

    @property
    def _precise(self) -> dict[str, Any]:
        # The precision that "auto" means here changes numbers; where the run is computed does not.
        return self._in_precision(self.precision)

    def _in_precision(self, precision: str) -> dict[str, Any]:
        return {**self.plain, "trainer": {**self.plain["trainer"], "precision": precision}}

    @property
    def folder(self) -> Path:
        """Run folder."""
        return run_folder(self.plain, self.identity)

    @property
    def frames(self) -> int:
        """Clip length T in training."""
        return round(self.config.data.seconds * self.store.frame_rate)

    def stages(self, crops: int, accumulate: int = 1) -> list[Stage]:
        """Crop lengths of training over time, for so many crops a batch."""
        return stages(self.plain["training"]["length_warmup"], self.frames, crops, self.store.frame_rate, accumulate)

    @property
    def pattern(self) -> dict[str, Any]:
        """Arguments of ``plans.build`` without the sizes; unset options are left to their defaults."""
        merged = {**self.plain["pattern"], **self.plain["schedule"]}
        return {key: value for key, value in merged.items() if value is not None}

    @property
    def precision(self) -> str:
        """Lightning precision; ``auto`` is bf16-mixed where the hardware has it."""
        wanted = str(self.config.trainer.precision)
        if wanted != "auto":
            return wanted
        bf16, fp16, fp32 = PRECISIONS
        if device().type == "cuda":
            return bf16 if torch.cuda.is_bf16_supported() else fp16
        able = torch.cpu.get_capabilities()
        return bf16 if able.get("avx512_bf16") or able.get("amx_bf16") else fp32

    def model(self) -> Any:
        """The LightningModule of the configured family, freshly initialised from the seed."""
        from lightning.pytorch import seed_everything

        shape = dict(self.plain["model"])
        # Loaded before the seed is set: weights must not depend on what a codec draws while it loads.
        codebooks_KVC = self.codec.codebooks_KVC if shape.pop("from_codebooks") else None
        seed_everything(self.config.seed, verbose=False)
        options = dict(self.plain["family"])
        training = self.plain["training"]
        sizes = {
            "levels": self.store.levels,
            "codebook_size": self.store.codebook_size,
            "text_dim": self.encoder.dim,
        }
        optimiser = {k: v for k, v in self.plain["optimiser"].items() if k != "clip_norm" and v is not None}
        for name in ("_target_", "uses_pattern"):
            options.pop(name)
        if self.family.uses_pattern:
            options |= {"pattern": self.pattern, "frames": self.frames}
        try:
            module = self.family(
                model={**sizes, **shape},
                optimiser={**optimiser, "total_steps": training["steps"]},
                seed=self.config.seed,
                **options,
            )
        except (ValueError, TypeError, ImportError) as error:
            raise UserError(str(error)) from error
        except RuntimeError as error:  # torch's, of a size that no memory holds
            raise UserError(f"the model cannot be made ({one_line(error)[:200]}); choose smaller sizes") from error
        if codebooks_KVC is not None:
            module.lm.start_from_codebooks(codebooks_KVC)
        return module


def store_folder(name: str) -> Path:
    """Folder of a token store: ``embedded`` is the bundled one."""
    return ASSETS / "tokens" if name == "embedded" else Path(name)


def device() -> torch.device:
    """The device that evaluation and generation use."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_threads(config: DictConfig) -> None:
    """Apply ``trainer.threads``."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
