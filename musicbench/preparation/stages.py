"""The stages of ``prepare``: corpus, codec, tokens, and what the judges need."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from musicbench.codecs.training.card import complete_card
from musicbench.codecs.training.evaluate import Divergence
from musicbench.codecs.training.loop import train_codec
from musicbench.data.audio import read_audio
from musicbench.data.corpus.build import build_corpus as render_corpus
from musicbench.data.melodies import FILE as MELODY_FILE
from musicbench.data.melodies import Melodies
from musicbench.data.recordings.build import build_recordings
from musicbench.data.store import TokenStore
from musicbench.data.tokenise import forget_partial, tokenise, tokenise_recordings
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.judge import ClapMini
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence
from musicbench.evaluation.references.stored import build_reference, forget_parts
from musicbench.preparation.clap import train_and_describe
from musicbench.preparation.melody import make_melodies
from musicbench.preparation.recordings import manifest, recordings
from musicbench.runs.compose import instantiated
from musicbench.runs.contents import REFERENCE_FILE, require_codec
from musicbench.runs.settings import ASSETS, store_folder
from musicbench.study.environment import environment


def build_corpus(settings: Any) -> None:
    """Collect recordings, or render scores."""
    if "packages" in settings:
        build_recordings(Path(settings.folder), settings.packages)
    else:
        named = {name: value for name, value in settings.items() if name not in ("folder", "soundfont")}
        render_corpus(Path(settings.folder), Path(settings.soundfont), **named)


def make_codec(config: Any, command: str) -> None:
    """Train the mini codec on the rendered corpus, and complete its card.

    Raises:
        UserError: the configuration names recordings instead.
    """
    if manifest(config):
        raise UserError(
            "the codec is trained on the rendered corpus; leave manifest and corpus=recordings to the tokens"
        )
    output, corpus = Path(config.codec_output), Path(config.corpus.folder)
    origin = {"command": command, **environment(threads=1)}
    folder = train_codec(instantiated("codec_training", config.codec_training), corpus, output, origin)
    judge, divergence = _listener()
    complete_card(output, corpus, judge, divergence)
    print(f"codec: {folder} (use it with codec.name_or_folder={folder})")


def _listener() -> tuple[dict[str, Any], Divergence]:
    """Return the bundled judge's facts for a card, and a function that compares an original and its reconstruction."""
    judge = MusiCNN()

    def divergence(original_1N: Tensor, made_1N: Tensor, sample_rate: int) -> float:
        heard = [judge(audio_1N, sample_rate).logits_BWC[0].numpy() for audio_1N in (original_1N, made_1N)]
        original_1C, made_1C = (class_probabilities(logits_WC)[None] for logits_WC in heard)
        return float(kl_divergence(original_1C, made_1C)[0])

    formula = (
        "KL(original || reconstruction) of the judge's class probabilities, softmax averaged over windows, in nats, "
        "mean over clips, with 1 .. K levels"
    )
    return {"id": judge.id, "sha256": judge.sha256, "kld": formula}, divergence


def make_tokens(config: Any, command: str) -> None:
    """Make the token store of the recordings.

    Raises:
        UserError: the folder holds a store of other recordings.
    """
    store, wanted = Path(config.store), recordings(config)
    codec = instantiated("codec", config.codec)
    if store.exists():
        made = TokenStore.open(store)
        made.verify()
        asked = {(recording.id, recording.captions) for recording in wanted}
        if made.card["codec"]["sha256"] != codec.sha256 or {(c.id, c.captions) for c in made.clips} != asked:
            raise UserError(f"{store} was made from other recordings or with another codec; choose another store=")
        forget_partial(store)  # An earlier call that was killed at its end left temporaries.
        print(f"token store: {store} is complete")
    else:
        if manifest(config):
            tokenise_recordings(wanted, codec, store, {"command": command})
        else:
            tokenise(Path(config.corpus.folder), codec, store, {"command": command})
        print(f"token store: {store} (use it with data.store={store})")
    if not manifest(config) and config.codec.get("name_or_folder") == "mini" and config.corpus.channels == 1:
        print(_beside_the_bundled(TokenStore.open(store).card))


def _beside_the_bundled(made: Mapping[str, Any]) -> str:
    """Say whether a rebuilt store equals the bundled one, and if not, which of its sources differ."""

    bundled = TokenStore.open(ASSETS / "tokens").card
    if all(made[name] == bundled[name] for name in ("codes_sha256", "clips_sha256")):
        return f"  the same as the bundled store (codes {made['codes_sha256'][:12]})"
    makers = {
        "codec": lambda card: card["codec"]["sha256"][:12],
        "renderer": lambda card: card["soundfont"]["renderer"],
        "soundfont": lambda card: card["soundfont"]["sha256"][:12],
        "scores": lambda card: card["scores"],
        "splits": lambda card: card["splits"],
    }
    differ = [f"{name} {of(made)}, not {of(bundled)}" for name, of in makers.items() if of(made) != of(bundled)]
    return f"  not the bundled store: {'; '.join(differ) or 'the same makers, other codes'}"


def note_melodies(config: Any) -> None:
    """Write down the melodies of the token store's clips.

    Raises:
        UserError: there is no store, its codec is another one, or a recording is missing.
    """
    store = TokenStore.open(store_folder(config.store))
    path = store.folder / MELODY_FILE
    if path.is_file():
        Melodies.open(store)
        print(f"melodies: {path} is complete")
        return
    codec = None
    if config.melody_from == "codes":
        codec = instantiated("codec", config.codec)
        require_codec(store, codec)
    print(f"melodies: {make_melodies(store, None if codec is not None else recordings(config), codec)}")


def judge_originals(config: Any) -> None:
    """Judge the originals with MusiCNN, and keep its outputs beside the token store."""
    path = Path(config.store) / REFERENCE_FILE
    if path.is_file():
        forget_parts(path)  # An earlier call that was killed at its end left temporaries.
        print(f"judge reference: {path} is complete")
        return
    build_reference(MusiCNN(), _originals(config), path)
    print(f"judge reference: {path}")


def make_clap(config: Any, command: str) -> None:
    """Train clap_mini, and print how well it retrieves."""
    folder = train_and_describe(
        instantiated("clap_training", config.clap_training), recordings(config), Path(config.clap_output), command
    )
    print(f"clap_mini: {folder} (use it with evaluation.clap_mini={folder})")
    for name, found in ClapMini(folder).test.items():
        print(
            f"  {name.replace('_', ' ')}, {len(found.ranks)} test pieces: "
            f"R@1 {found.recall(1):.3f} (chance {found.chance(1):.3f}), "
            f"R@10 {found.recall(10):.3f} (chance {found.chance(10):.3f})"
        )


def _originals(config: Any) -> Iterator[tuple[str, str, Any, int]]:
    """Yield the original audio of the clips that the reference needs."""

    for recording in recordings(config):
        if recording.split in ("train", "test"):
            yield (recording.id, recording.split, *read_audio(recording.audio))
