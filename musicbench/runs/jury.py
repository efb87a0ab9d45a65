"""Who judges a run's clips, and what they are compared with."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor

from musicbench.conditions.caption_table import caption_table
from musicbench.conditions.text import OneByOne, TextEncoder, TransformersEncoder
from musicbench.data.audio_folder import Listing, folder_sha256
from musicbench.data.hashing import ContentHashes
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.judge import ClapMini
from musicbench.evaluation.judge_set import JudgeSet
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judges.base import Judge, judge_key
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.evaluation.references.stored import Reference
from musicbench.files import sha256_file
from musicbench.runs.compose import instantiated
from musicbench.runs.compose import plain as plain_config
from musicbench.runs.device import device
from musicbench.runs.originals import Originals
from musicbench.runs.parts import Parts
from musicbench.runs.settings import ASSETS, store_folder

REFERENCE_FILE = "judge_musicnn.npz"


class Jury:
    """Judges, references and originals of a configuration, each made when it is first asked for.

    Args:
        parts: of the same configuration; its store, codec and text encoder serve the judges too.
    """

    def __init__(self, config: DictConfig, parts: Parts) -> None:
        self.config, self.parts = config, parts
        self.hashes = ContentHashes()

    @cached_property
    def judges(self) -> JudgeSet:
        """The configured judges; those of equal configuration are one."""
        wanted = plain_config(self.config)["judges"]
        made: dict[str, Any] = {}
        for role in ("fad", "kld", "clap"):
            part = wanted.get(role)
            same = next((other for other in made if wanted[other] == part), None)
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
        return CodecLatents(self.parts.codec)

    @cached_property
    def reference(self) -> Reference:
        """MusiCNN's view of the original audio, kept in the token store."""
        return Reference.open(store_folder(self.config.data.store) / REFERENCE_FILE)

    @cached_property
    def originals(self) -> Originals:
        """What the judges say of the original recordings."""
        return Originals(self.parts.store, self.reference, self.config.evaluation, self.cache, self.hashes)

    @property
    def cache(self) -> Path:
        """Folder of what judges have said before."""
        return self.parts.cache / "judged"

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
        encoder: TextEncoder = self.parts.encoder
        if encoder.sha256 == self.clap.text_sha256:
            return encoder
        encoder = TransformersEncoder(self.clap.text_id)
        if encoder.sha256 != self.clap.text_sha256:
            raise UserError(
                f"clap_mini was trained on other weights of {self.clap.text_id} than those installed; "
                "train it again with `musicbench prepare stages=[clap]`"
            )
        return encoder

    def clap_states(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Padded states and mask of any captions for the text-audio judge; each depends on its caption alone."""
        table = caption_table(captions, OneByOne(self.clap_encoder), self.parts.cache / "text")
        return table.batch(list(captions))

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
    def own_files(self) -> dict[str, str]:
        """Hashes of the folders and the captions that ``evaluate audio=FOLDER`` is given."""
        contents = {}
        if self.config.get("audio"):
            contents["audio"] = folder_sha256(self.audio.files, self.hashes)
        if self.config.get("originals"):
            contents["originals"] = folder_sha256(self.own_originals.files, self.hashes)
        if self.config.get("captions"):
            contents["captions"] = sha256_file(Path(self.config.captions))
        return contents

    @property
    def contents(self) -> dict[str, str]:
        """Hashes of the judges, and of what they compare clips with."""
        contents = {role: judge_key(judge) for role, judge in self.judges.roles.items()}
        contents["reference"] = self.originals.reference_sha256(self.judges.fad)
        if not self.config.get("captions"):
            contents["originals"] = self.originals.crops_sha256(self.judges.roles.values())
        if self.clap is not None:
            contents["clap_mini"] = self.clap.sha256
        return contents
