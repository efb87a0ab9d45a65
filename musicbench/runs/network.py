"""The generator network that a configuration describes."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from omegaconf import DictConfig
from torch import Tensor

from musicbench import named_code, plans
from musicbench.errors import UserError
from musicbench.models.prefix import Prefix
from musicbench.runs import compose, settings
from musicbench.runs.compose_errors import one_line
from musicbench.runs.identity import has_pattern


class Sizes(NamedTuple):
    """Sizes of data and captions that a network needs.

    Attributes:
        levels: K, codes per frame.
        codebook_size: V, values per code.
        text_dim: E, width of the caption states.
        frame_rate: frames per second.
        prefixes: the conditions beside the text, by name.
    """

    levels: int
    codebook_size: int
    text_dim: int
    frame_rate: float
    prefixes: Mapping[str, Prefix] = MappingProxyType({})


def family(config: DictConfig) -> Any:
    """Return the LightningModule class of the configured generator family."""
    return named_code.load("family", config.family._target_)


def beginnings(config: DictConfig, levels: int, frames: int, sampling: Any) -> Sequence[int]:
    """Return the numbers of first frames, ascending, from which the configured family can draw the rest of a clip.

    Args:
        levels: K, codes per frame.
        frames: clip length T.
        sampling: settings of ``generate``.

    Raises:
        UserError: the configured pattern has no plan of this length.
    """
    plain = compose.plain(config)

    def plan(frames: int) -> plans.Plan:
        return plans.build(frames=frames, levels=levels, **settings.pattern_options(plain))

    try:
        found: Sequence[int] = family(config).beginnings(frames, sampling, plan)
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(str(error)) from error
    return found


def _options(prefix: Prefix) -> dict[str, Any]:
    """Return the options of a prefix that are set, so that a new option changes no older checkpoint."""
    return {name: value for name, value in prefix._asdict().items() if value is not None}


def build_model(config: DictConfig, sizes: Sizes, codebooks_KVC: Tensor | None = None) -> Any:
    """Build the LightningModule of the configured family, freshly initialised from the seed.

    Args:
        codebooks_KVC: the codec's code vectors, where ``model.from_codebooks`` lets embeddings start from them.

    Raises:
        UserError: the family refuses a setting.
    """
    plain = compose.plain(config)
    shape = {k: v for k, v in plain["model"].items() if k != "from_codebooks" and v is not None}
    optimiser = {k: v for k, v in plain["optimiser"].items() if k != "clip_norm" and v is not None}
    steps = plain["training"]["steps"]
    # Without steps there is no schedule, whatever warm-up is configured.
    length = {"total_steps": steps} if steps else {"total_steps": 1, "warmup_steps": 0}
    options = {key: value for key, value in plain["family"].items() if key not in (named_code.TARGET, "uses_pattern")}
    if has_pattern(plain):
        options |= {
            "pattern": settings.pattern_options(plain),
            "frames": settings.frames(config, sizes.frame_rate),
        }
    from lightning.pytorch import seed_everything  # Lightning takes seconds, and judging needs no network of ours

    seed_everything(config.seed, verbose=False)
    of_data: dict[str, Any] = {"levels": sizes.levels, "codebook_size": sizes.codebook_size, "text_dim": sizes.text_dim}
    if sizes.prefixes:  # Only then, so that checkpoints of other models need not name them.
        of_data["prefixes"] = {name: _options(prefix) for name, prefix in sizes.prefixes.items()}
        usual = {"melody": 0.5, "text": 0.0}  # as MusicGen's released configuration
        shares = {name: plain["training"][f"{name}_dropout"] for name in usual}
        options["dropout_apart"] = {name: usual[name] if share is None else share for name, share in shares.items()}
    try:
        module = family(config)(
            model={**of_data, **shape},
            optimiser={**optimiser, **length},
            seed=config.seed,
            **options,
        )
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(str(error)) from error
    except RuntimeError as error:  # Torch raises it for a size that no memory holds.
        raise UserError(f"the model cannot be made ({one_line(error)[:200]}); choose smaller sizes") from error
    if codebooks_KVC is not None:
        module.lm.start_from_codebooks(codebooks_KVC)
    return module
