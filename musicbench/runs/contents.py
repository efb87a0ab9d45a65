"""Hash the files from which a run is made, without loading a codec, judge or encoder.

Torch and the networks' libraries take seconds and hundreds of MB, and a sweep asks for the ids of hundreds of runs. Of
the bundled parts and of local folders the files say enough; other parts are instantiated and asked who they are.
"""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from musicbench.codec_identity import identity
from musicbench.conditions.text_facts import clap_mini_folder, known_encoder
from musicbench.data.audio_folder import Listing, folder_sha256
from musicbench.data.hashing import ContentHashes
from musicbench.data.melodies import Melodies
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import Known, MusiCNNFacts, judge_key
from musicbench.evaluation.references.reference import Reference
from musicbench.files import known_sha256
from musicbench.named_code import TARGET
from musicbench.runs import compose
from musicbench.runs.original_files import OriginalFiles
from musicbench.runs.settings import ASSETS, store_folder, text_part

REFERENCE_FILE = "judge_musicnn.npz"
WEIGHTS = "model.safetensors"

Made = TypeVar("Made")


class Contents:
    """Hashes of the parts of a configuration, each computed when it is first asked for."""

    def __init__(self, config: DictConfig) -> None:
        self.config = config
        self.hashes = ContentHashes()

    @staticmethod
    def key(config: DictConfig) -> str:
        """A key that two configurations share when their contents are the same."""
        groups = ("codec", "text", "judges", "evaluation", "audio", "captions", "originals")
        trains = config.training.steps > 0
        return json.dumps(
            [trains, config.data.store, config.data.melody, *(_plain(config.get(group)) for group in groups)]
        )

    @cached_property
    def store(self) -> TokenStore:
        """The token store."""
        return TokenStore.open(store_folder(self.config.data.store))

    @cached_property
    def melodies(self) -> Melodies:
        """The melodies beside the token store."""
        return Melodies.open(self.store)

    @cached_property
    def codec(self) -> Any:
        """An object with the codec's ``id`` and ``sha256``."""
        part = _plain(self.config.codec)
        told = None
        if part[TARGET] == "musicbench.codecs.load_codec":
            told = identity(str(part.get("name_or_folder", "mini")), part.get("levels"), part.get("channels"))
        return told or compose.instantiated("codec", part)

    @cached_property
    def encoder(self) -> str:
        """Hash of the text encoder."""
        part = text_part(self.config)
        known = known_encoder(part)
        if known is not None:
            return known
        # It is asked for its hash alone: a GPU would be started for nothing, in a process that may start others.
        return str(compose.instantiated("text", part, device="cpu").sha256)

    @cached_property
    def judges(self) -> dict[str, Known]:
        """Facts of the judges by role.

        Raises:
            UserError: one is missing.
        """
        return judges_by_role(_plain(self.config.judges), _judge)

    @cached_property
    def reference(self) -> Reference:
        """MusiCNN's view of the original audio, kept in the token store."""
        return Reference.open(store_folder(self.config.data.store) / REFERENCE_FILE)

    @cached_property
    def original_files(self) -> OriginalFiles:
        """The originals of the token store."""
        return OriginalFiles(self.store, self.reference, self.config.evaluation, self.hashes)

    @cached_property
    def trained_on(self) -> dict[str, str]:
        """Hashes of everything that determines the weights.

        Raises:
            UserError: the token store was made with another codec.
        """
        contents = {"codec": self.codec.sha256, "text": self.encoder}
        # Without steps the weights come from elsewhere, and no token changes them.
        return contents | self.tokens if self.config.training.steps else contents

    @cached_property
    def tokens(self) -> dict[str, str]:
        """Hashes of the token store, and of its melodies where they are told; none for a run that has no store.

        Raises:
            UserError: it was made with another codec.
        """
        if self.config.data.store is None:
            return {}
        if self.store.card["codec"]["sha256"] != self.codec.sha256:
            # Opening the store raises if it is damaged.
            require_codec(self.store, compose.instantiated("codec", self.config.codec))
        contents = {"tokens": self.store.card["codes_sha256"], "clips": self.store.card["clips_sha256"]}
        if self.config.data.melody is not None:
            contents["melody"] = self.melodies.sha256
        return contents

    @cached_property
    def judged_by(self) -> dict[str, str]:
        """Hashes of the judges and of the references with which they compare clips."""
        contents = {role: judge_key(judge) for role, judge in self.judges.items()}
        contents["reference"] = self.original_files.reference_sha256(self.judges["fad"])
        if not self.config.get("captions"):
            contents["originals"] = self.original_files.crops_sha256(self.judges.values())
        if self.config.evaluation.clap_mini is not None:
            folder = clap_mini_folder(self.config.evaluation.clap_mini)
            if not (folder / WEIGHTS).is_file():
                raise UserError(f"no clap_mini in {folder}; make it with `musicbench prepare stages=[clap]`")
            contents["clap_mini"] = known_sha256(folder / WEIGHTS)
        return contents

    @cached_property
    def audio(self) -> Listing:
        """The files of ``audio=FOLDER``, with those of ``captions=FILE``."""
        captions = self.config.captions
        return Listing.of(Path(self.config.audio), None if captions is None else Path(captions))

    @cached_property
    def own_originals(self) -> Listing:
        """The files of ``originals=FOLDER``."""
        return Listing.of(Path(self.config.originals))

    @cached_property
    def own_files(self) -> dict[str, str]:
        """Hashes of the folders and the captions of ``evaluate audio=FOLDER``."""
        if not self.config.get("audio"):
            return {}
        contents = {"audio": folder_sha256(self.audio.files, self.hashes)}
        if self.config.get("originals"):
            contents["originals"] = folder_sha256(self.own_originals.files, self.hashes)
        if self.config.get("captions"):
            contents["captions"] = known_sha256(Path(self.config.captions))
        return contents


def require_codec(store: TokenStore, codec: Any) -> None:
    """Refuse a codec that differs from the codec of the token store.

    Raises:
        UserError: the codecs differ; the message names both.
    """
    made_with = store.card["codec"]
    if made_with["sha256"] != codec.sha256:
        raise UserError(
            f"the token store was made with codec {made_with['id']} ({made_with['sha256'][:12]}), "
            f"not {codec.id} ({codec.sha256[:12]}); choose that codec or run `musicbench prepare`"
        )


def judges_by_role(wanted: Mapping[str, Any], make: Callable[[Any], Made]) -> dict[str, Made]:
    """Make something of the judge of each role; roles with equal configuration share it.

    Args:
        wanted: the configuration's ``judges``, plain.

    Raises:
        UserError: a judge is missing that every evaluation needs.
    """
    made: dict[str, Made] = {}
    for role in ("fad", "kld", "clap"):
        part = wanted.get(role)
        same = next((other for other in made if wanted[other] == part), None)
        if part is None and role != "clap":
            raise UserError(f"judges.{role} is missing; name a judge, as conf/judges/bundled.yaml does")
        if part is not None:
            made[role] = made[same] if same else make(part)
    return made


def _judge(part: Mapping[str, Any]) -> Known:
    if part[TARGET] == "musicbench.evaluation.judges.musicnn.MusiCNN" and set(part) <= {TARGET, "folder"}:
        return MusiCNNFacts.of(Path(part.get("folder", ASSETS / "judge_musicnn")))
    found: Known = compose.described("judges", part)
    return found


def _plain(part: Any) -> Any:
    return compose.plain(part) if OmegaConf.is_config(part) else part
