"""Which files of the released checkpoints are on this machine, and where those that are missing belong."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError, safe_open

from musicbench.errors import UserError
from musicbench.released.catalogue import T5, Entry, Format
from musicbench.released.checkpoint import INDEXED, read_index
from musicbench.released.hub import address

DESCRIBED = ("config.json", "tokenizer.json")
"""Files of a transformers checkpoint beside its weights, without which nothing works."""
AUDIOCRAFT = ("state_dict.bin", "compression_state_dict.bin")


@dataclass(frozen=True)
class Model:
    """What is here of one model.

    Attributes:
        hub: its name.
        present: its files, and those that are missing by name.
    """

    hub: str
    present: tuple[Path, ...]
    missing: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of its folder beside others."""
        return self.hub.rpartition("/")[2]


def check(entry: Entry, folder: Path | None, offline: bool) -> str:
    """Say in a line where a released checkpoint lies.

    Args:
        folder: holds a folder for each model, by its name without owner; None: the model hub's cache is looked at.
        offline: whether the user forbade to ask the hub.

    Raises:
        UserError: files are missing or damaged; it says which, where to get them and where to put them.
    """
    found = {
        kind: [_look(hub, files, weights, folder) for hub, files, weights in _needs(entry, kind)]
        for kind in entry.formats
    }
    for kind, models in found.items():
        if not any(model.missing for model in models):
            return _here(kind, models)
    # The format that has the most files here is the one that someone tried; a text encoder may be here for itself.
    nearest = max(found.values(), key=lambda models: len(models[0].present))
    lacking = [model for model in nearest if model.missing]
    wanted = " and ".join(f"{', '.join(model.missing)} of {address(model.hub)}" for model in lacking)
    if folder is not None:
        raise UserError(f"put {wanted} into {' and '.join(str(folder / model.name) for model in lacking)}")
    cache = f"{'whole in' if nearest[0].present else 'in'} the model hub's cache {constants.HF_HUB_CACHE}"
    fetch = "HF_HUB_OFFLINE forbids to fetch it" if offline else "with a network its first use fetches it"
    places = " and ".join(f"FOLDER/{model.name}" for model in lacking)
    raise UserError(
        f"not {cache}; {fetch}; without the hub put {wanted} into {places}, which doctor sees with released=FOLDER"
    )


def _needs(entry: Entry, kind: Format) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Yield names on the hub, the files that are needed of each, and whether weights in transformers' format are."""
    if kind == "transformers":
        yield entry.hub, DESCRIBED, True
    else:
        yield entry.hub, AUDIOCRAFT, False
        yield T5, DESCRIBED, True


def _look(hub: str, files: tuple[str, ...], weights: bool, folder: Path | None) -> Model:
    find = _in_cache(hub) if folder is None else _in_folder(folder / hub.rpartition("/")[2])
    wanted = {name: find(name) for name in files}
    if weights:
        wanted |= _weights(find)
    present = tuple(path for path in wanted.values() if path is not None)
    return Model(hub, present, tuple(name for name, path in wanted.items() if path is None))


def _in_folder(folder: Path) -> Callable[[str], Path | None]:
    return lambda name: folder / name if (folder / name).is_file() else None


def _in_cache(hub: str) -> Callable[[str], Path | None]:
    def find(name: str) -> Path | None:
        path = try_to_load_from_cache(hub, name)
        return Path(path) if isinstance(path, str) else None

    return find


def _weights(find: Callable[[str], Path | None]) -> dict[str, Path | None]:
    for whole, index in INDEXED:
        if (path := find(whole)) is not None:
            return {whole: path}
        if (path := find(index)) is not None:
            return {index: path, **{name: find(name) for name in sorted(set(read_index(path).values()))}}
    whole, index = INDEXED[0]
    return {f"{whole} (or {index} and what it names)": None}


def _here(kind: Format, models: list[Model]) -> str:
    paths = [path for model in models for path in model.present]
    for path in paths:
        _require_whole(path)
    size = sum(path.stat().st_size for path in paths)
    return f"{kind} format, {size / 1e9:.2f} GB in {' and '.join(str(model.present[0].parent) for model in models)}"


def _require_whole(path: Path) -> None:
    """Refuse a file of weights that a broken download cut off; what is in it is not read."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt"):
                return
        if path.suffix != ".bin" or zipfile.is_zipfile(path):
            return
        reason = "no archive of torch"
    except (SafetensorError, OSError) as error:
        reason = str(error)
    raise UserError(f"{path} is not whole ({reason}); delete it and download it again")
