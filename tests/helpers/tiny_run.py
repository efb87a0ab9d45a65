"""A run on a tiny token store with a text encoder that costs nothing."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from musicbench.evaluation.judges import JudgeOutput

TINY = (
    "data.seconds=2",
    "training.steps=4",
    "training.batch_size=4",
    "training.validate_every=2",
    "training.save_every=2",
    "training.ema_decay=0.6",
    "model.dim=16",
    "model.layers=1",
    "model.heads=2",
    "model.from_codebooks=false",
    "optimiser.warmup_steps=1",
    "optimiser.lr=0.01",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.threads=1",
    "trainer.peak_flops=1e11",
)


class StubEncoder:
    """States that follow from the caption's text; 1 to 4 tokens."""

    id, sha256, dim = "stub", "5" * 64, 6

    def __init__(self) -> None:
        self.captions: list[str] = []

    def encode(self, captions: list[str]) -> list[torch.Tensor]:
        self.captions += captions
        streams = [torch.Generator().manual_seed(sum(caption.encode())) for caption in captions]
        return [torch.randn(1 + len(c) % 4, self.dim, generator=s) for c, s in zip(captions, streams, strict=True)]


HOP, RATE = 100, 1000
EVALUATION = (
    "evaluation.seconds=4",
    "evaluation.batch_size=3",
    "evaluation.speed_batches=[1]",
    "evaluation.speed_repeats=1",
    "evaluation.samples=2",
)


class StubCodec:
    """Every frame is 100 samples whose loudness follows the codes."""

    id, sha256, sample_rate, channels, frame_rate, levels, codebook_size = "stub", "0" * 64, RATE, 1, 10.0, 2, 12
    segment_frames = 1

    codebooks_KVC = torch.linspace(-1, 1, 2 * 12 * 3).view(2, 12, 3)

    def decoding(self, clips: int) -> "StubDecoding":
        return StubDecoding(self)

    def to(self, device: torch.device | str) -> "StubCodec":
        return self

    def encode(self, audio_BCN: torch.Tensor) -> torch.Tensor:
        frames = -(-audio_BCN.shape[2] // HOP)
        return torch.zeros(len(audio_BCN), 2, frames, dtype=torch.long)

    def decode(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        loudness_BT = codes_BKT.float().mean(1) / 12
        tone = torch.sin(torch.arange(HOP) * 0.3)
        return (loudness_BT[..., None] * tone).flatten(1)[:, None]


class StubDecoding:
    """Sound of the stub's frames, two frames late."""

    def __init__(self, codec: StubCodec) -> None:
        self.codec, self.codes, self.done = codec, [], 0

    def add(self, codes_BKn: torch.Tensor) -> torch.Tensor:
        self.codes.append(codes_BKn)
        return self.up_to(sum(piece.shape[2] for piece in self.codes) - 2)

    def end(self) -> torch.Tensor:
        return self.up_to(sum(piece.shape[2] for piece in self.codes))

    def up_to(self, frames: int) -> torch.Tensor:
        first, self.done = self.done, max(self.done, frames)
        return self.codec.decode(torch.cat(self.codes, 2))[..., first * HOP : self.done * HOP]


class StubJudge:
    """Windows of 3 s every second; the outputs are loudnesses within the window."""

    id, sha256, sample_rate, window_seconds, hop_seconds, labels = "stub", "7" * 64, RATE, 3.0, 1.0, ("a", "b", "c")
    class_kind = "softmax"
    fadtk = None

    def __call__(self, audio_BN: torch.Tensor, sample_rate: int) -> "JudgeOutput":
        from musicbench.evaluation.judges import JudgeOutput

        windows_BWN = audio_BN.unfold(1, 3 * sample_rate, sample_rate)
        loud = torch.stack([part.square().mean(-1) for part in windows_BWN.chunk(3, dim=-1)], dim=-1)
        return JudgeOutput(loud, 10 * loud)


@pytest.fixture
def tiny_overrides(make_token_store, tmp_path: Path) -> list[str]:
    """Overrides of a four-step training on the tiny store, below the test's folder; without clap_mini."""
    places = [f"data.store={make_token_store()}", f"output={tmp_path}", f"cache={tmp_path / 'cache'}"]
    return [*places, "evaluation.clap_mini=null", *TINY]


@pytest.fixture
def make_clap(tmp_path: Path) -> Callable[..., Path]:
    """``make_clap(found=45)`` -> folder of an untrained clap_mini for stubs; its card says how many of 45 it found."""
    from musicbench.evaluation.clap_mini.judge import piece_hash, write_clap
    from musicbench.evaluation.clap_mini.network import ClapNetwork
    from musicbench.evaluation.clap_mini.retrieval import DIRECTIONS, Retrieval

    def make(found: int = 45, judge: str = "7" * 64, text: str = StubEncoder.sha256, heard: Sequence[str] = ()) -> Path:
        torch.manual_seed(0)
        network = ClapNetwork(audio_features=3, text_features=StubEncoder.dim, hidden=8, dim=4, dropout=0.0)
        outcome = Retrieval((1,) * found + (45,) * (45 - found), (1,) * 45, 45)
        identity = {"judge": {"id": "stub", "sha256": judge}, "text": {"id": "minilm", "sha256": text}}
        test = {name: outcome.figures() for name in DIRECTIONS}
        training = {"data": {"pieces": [piece_hash(piece) for piece in heard]}}
        card = {**identity, "network": network.sizes, "training": training, "test": test}
        return write_clap(tmp_path / f"clap-{found}", network, card)

    return make


@pytest.fixture
def make_run(tiny_overrides: list[str]) -> Callable[..., object]:
    """``make_run("pattern=flat")`` -> Run of the tiny configuration with the stub encoder."""
    from musicbench.runs.compose import compose
    from musicbench.runs.run import Run

    def make(*overrides: str) -> Run:
        run = Run(compose("train", [*tiny_overrides, *overrides]))
        # Its codec is none that there is, so that there is no content to make an id from.
        run.parts.__dict__.update(encoder=StubEncoder())
        run.__dict__.update(training_id="0dd5", training_ids=frozenset({"0dd5"}))
        return run

    return make


@pytest.fixture
def overrides(tiny_overrides: list[str], make_clap: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of a tiny run whose codec, judges and text encoder are stubs; the store has a judge reference."""
    from musicbench.data.store import TokenStore
    from musicbench.evaluation.judge_set import JudgeSet
    from musicbench.evaluation.references.stored import build_reference
    from musicbench.runs.contents import REFERENCE_FILE, Contents
    from musicbench.runs.jury import Jury
    from musicbench.runs.parts import Parts

    codec, judge = StubCodec(), StubJudge()
    judges = JudgeSet(judge, judge)
    known = {"fad": judge, "kld": judge}
    stubs = [(Contents, "codec", codec), (Contents, "encoder", StubEncoder.sha256), (Contents, "judges", known)]
    stubs += [
        (Parts, "codec", codec),
        (Parts, "encoder", StubEncoder()),
        (Jury, "judges", judges),
        (Jury, "musicnn", judge),
    ]
    for kind, name, part in stubs:
        monkeypatch.setattr(kind, name, property(lambda _, part=part: part))
    folder = Path(tiny_overrides[0].partition("=")[2])
    store = TokenStore.open(folder)
    originals = [
        (clip.id, clip.split, codec.decode(torch.from_numpy(store.codes(clip).astype("int64"))[None])[0, 0], RATE)
        for clip in store.clips
    ]
    build_reference(judge, originals, folder / REFERENCE_FILE)
    return [*tiny_overrides, *EVALUATION, f"evaluation.clap_mini={make_clap()}"]


_trained: list[Path] = []


@pytest.fixture
def trained_run(overrides: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run at the place to which this test's overrides lead; trained once for all tests."""
    from musicbench.commands import train

    if not _trained:
        train.main(overrides)
        (record,) = tmp_path.glob("*/record.json")
        _trained.append(shutil.move(record.parent, tmp_path_factory.mktemp("trained")))
    return Path(shutil.copytree(_trained[0], tmp_path / Path(_trained[0]).name))


@pytest.fixture
def stub_encoder() -> StubEncoder:
    """A text encoder that costs nothing."""
    return StubEncoder()


@pytest.fixture
def stub_codec() -> StubCodec:
    """A codec of the tiny store."""
    return StubCodec()


@pytest.fixture
def own_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Write a file into the ``conf`` of a checkout of one's own."""
    from musicbench import named_code
    from musicbench.runs import compose as config

    conf = shutil.copytree(named_code.shipped_folder("conf"), tmp_path / "checkout" / "conf")
    monkeypatch.setattr(named_code, "PACKAGE", tmp_path / "checkout" / "musicbench")
    config.shipped.cache_clear()

    def write(name: str, text: str) -> None:
        (conf / name).write_text(text, encoding="utf-8")

    yield write
    config.shipped.cache_clear()
