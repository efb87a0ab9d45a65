"""The assumptions of an estimate about data, captions and measurement."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from musicbench.errors import UserError, did_you_mean
from musicbench.runs.network import Sizes


def _is(value: float, meaning: str) -> Any:
    return field(default=value, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Assumed:
    """The assumptions of an estimate, which prints every field with its meaning."""

    levels: int = _is(4, "codec levels (encodec_32khz)")
    codebook_size: int = _is(2048, "codes of a level (encodec_32khz)")
    frame_rate: float = _is(50.0, "frames a second (encodec_32khz)")
    sample_rate: int = _is(32000, "samples a second of the audio on disk, 16 bits each")
    text_dim: int = _is(768, "width of the caption states (t5-base)")
    caption_tokens: int = _is(32, "length of a caption, padding included")
    working_bytes: int = _is(2, "bytes of a number in matrix products (mixed precision; 4: fp32)")
    checkpoints: int = _is(3, "checkpoints on disk at once: last, best, and the one being written")
    measured_layers: int = _is(2, "layers of the measured network, which has the run's width, clip length and pattern")
    measured_clips: int = _is(1, "clips a step in the measurement")
    measured_steps: int = _is(3, "timed steps, after one that is not timed; the median counts")

    @property
    def network(self) -> Sizes:
        """Sizes of data and captions that a network needs."""
        return Sizes(self.levels, self.codebook_size, self.text_dim, self.frame_rate)

    def __str__(self) -> str:
        return "\n".join(f"  {f.name}={getattr(self, f.name):g}: {f.metadata['meaning']}" for f in fields(self))


def assumed(settings: Sequence[str]) -> Assumed:
    """Return the assumptions with some values replaced by ``name=value``.

    Raises:
        UserError: the assumption does not exist, or its value is not a number above zero of the right kind.
    """
    kinds = {name: type(value) for name, value in asdict(Assumed()).items()}
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in kinds:
            raise UserError(f"--assume {setting}: assumptions are {', '.join(kinds)}{did_you_mean(name, kinds)}")
        try:
            values[name] = kinds[name](text)
        except ValueError:
            values[name] = 0
        if values[name] <= 0:
            raise UserError(f"--assume {setting}: give a {kinds[name].__name__} above 0")
    return Assumed(**values)
