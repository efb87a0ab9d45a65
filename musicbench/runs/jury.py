"""The judges of a run's clips, and the references with which they compare clips."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from musicbench.conditions.caption_table import caption_table
from musicbench.conditions.text import OneByOne, TextEncoder, TransformersEncoder
from musicbench.conditions.text_facts import clap_mini_folder
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.judge import ClapMini
from musicbench.evaluation.judge_set import JudgeSet
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judges.base import Judge
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.runs.compose import instantiated
from musicbench.runs.compose import plain as plain_config
from musicbench.runs.contents import Contents, judges_by_role
from musicbench.runs.device import device
from musicbench.runs.originals import Originals
from musicbench.runs.parts import Parts


class Jury:
    """Judges, references and originals of a configuration, each made when it is first asked for.

    Args:
        parts: of the same configuration; its store, codec and text encoder serve the judges too.
        contents: hashes of the files of the configuration.
    """

    def __init__(self, config: DictConfig, parts: Parts, contents: Contents) -> None:
        self.config, self.parts, self.contents = config, parts, contents

    @cached_property
    def judges(self) -> JudgeSet:
        """The configured judges; roles with equal configuration share one judge."""
        wanted = plain_config(self.config)["judges"]
        return JudgeSet(**judges_by_role(wanted, lambda part: instantiated("judges", part, device=device())))

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
    def originals(self) -> Originals:
        """The original recordings, as the judges hear them."""
        return Originals(self.contents.original_files, self.cache)

    @property
    def cache(self) -> Path:
        """Folder in which judges' outputs are kept."""
        return self.parts.cache / "judged"

    @cached_property
    def clap(self) -> ClapMini | None:
        """The text-audio judge; None if the configuration names none."""
        name = self.config.evaluation.clap_mini
        return None if name is None else ClapMini(clap_mini_folder(name))

    @cached_property
    def clap_encoder(self) -> TextEncoder:
        """The text encoder on which the text-audio judge was trained; the run's own encoder if both are the same."""
        assert self.clap is not None
        encoder: TextEncoder = self.parts.encoder
        if encoder.sha256 == self.clap.text_sha256:
            return encoder
        encoder = TransformersEncoder(self.clap.text_id, device())
        if encoder.sha256 != self.clap.text_sha256:
            raise UserError(
                f"clap_mini was trained on other weights of {self.clap.text_id} than those installed; "
                "train it again with `musicbench prepare stages=[clap]`"
            )
        return encoder

    def clap_states(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return padded states and mask of captions for the text-audio judge; each depends on its caption alone."""
        table = caption_table(captions, OneByOne(self.clap_encoder), self.parts.cache / "text")
        return table.batch(list(captions))
