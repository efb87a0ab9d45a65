"""The set of judges that audio metrics use.

Shape suffixes: C channels, N samples.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from musicbench.channels import mixed
from musicbench.evaluation.judge_facts import judge_key
from musicbench.evaluation.judges.base import Judge, TextAudioJudge, require_classes
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.evaluation.judging import Judgement, judge_clips, judged

Heard = Mapping[str, Sequence[Judgement]]
"""Judgements of the same clips, by ``judge_key``."""


@dataclass(frozen=True)
class JudgeSet:
    """The embedder of FAD and KAD, the classifier of KLD, and, optionally, the text-audio judge of the CLAP score.

    Raises:
        UserError: the judge of KLD has no classes.
    """

    fad: Judge
    kld: Judge
    clap: TextAudioJudge | None = None

    def __post_init__(self) -> None:
        require_classes(self.kld)

    @property
    def roles(self) -> dict[str, Judge]:
        """The judges by role: ``fad``, ``kld`` and, if it exists, ``clap``."""
        return {"fad": self.fad, "kld": self.kld} | ({} if self.clap is None else {"clap": self.clap})

    def by_role(self, heard: Heard) -> dict[str, Sequence[Judgement]]:
        """Return the judgements of some clips by role."""
        return {role: heard[judge_key(judge)] for role, judge in self.roles.items()}


def hear(
    judges: Iterable[Judge], clips: Iterable[tuple[Tensor, int]], cache: Path | None = None, total: int | None = None
) -> dict[str, list[Judgement]]:
    """Let every judge (each once, whatever its roles) hear clips (audio [C, N], sample rate), one after the other.

    Judges hear the mean of the channels; a codec's latents are those of all of its channels.

    Args:
        cache: see ``judge_clips``.
        total: number of clips, for the progress bar.
    """
    distinct = {judge_key(judge): judge for judge in judges}
    heard: dict[str, list[Judgement]] = {key: [] for key in distinct}
    for audio_CN, sample_rate in tqdm(clips, "judging", total, unit="clip", leave=False):
        mono_N = mixed(audio_CN, 1)[0]
        for key, judge in distinct.items():
            if isinstance(judge, CodecLatents):
                # Not kept: an embedding for each frame would fill the disk.
                heard[key].append(judged(judge, audio_CN[None], sample_rate, None))
            else:
                heard[key] += judge_clips(judge, [mono_N], sample_rate, cache)
    return heard
