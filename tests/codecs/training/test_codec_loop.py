import dataclasses
import errno
import json
import shutil
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from musicbench import torch_files
from musicbench.codecs import load_codec
from musicbench.codecs.training.audio import RandomCrops, read_split
from musicbench.codecs.training.config import CodecTrainingConfig
from musicbench.codecs.training.loop import train_codec
from musicbench.codecs.training.state import CodecTraining
from musicbench.errors import UserError
from musicbench.seals import sealed_lines

SHIPPED = instantiate(OmegaConf.load(Path(__file__).parents[3] / "conf/codec_training/mini.yaml"))
TINY: CodecTrainingConfig = dataclasses.replace(
    SHIPPED,
    shape=dataclasses.replace(
        SHIPPED.shape,
        sample_rate=4000,
        hop=40,
        levels=2,
        codebook_size=16,
        dimension=8,
        encoder_width=12,
        encoder_blocks=1,
        decoder_width=12,
        decoder_blocks=1,
    ),
    crop_seconds=0.2,
    batch=4,
    steps=80,
    learning_rate=5e-3,
    warmup_steps=5,
    mel_windows=[128],
    validate_every=20,
    checkpoint_every=30,
    validation_clips=2,
    validation_seconds=0.5,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "audio").mkdir()
    random, lines = np.random.default_rng(0), []
    for number in range(8):
        pitch = random.uniform(80, 400, 8).repeat(1000)
        audio = 0.3 * np.sin(2 * np.pi * pitch.cumsum() / 4000)
        soundfile.write(folder / "audio" / f"c{number}.flac", audio, 4000)
        lines.append({"id": f"c{number}", "split": ["train", "validation"][number >= 6]})
    (folder / "clips.jsonl").write_text(sealed_lines(lines))
    return folder


def training(corpus: Path, config: CodecTrainingConfig = TINY) -> CodecTraining:
    torch.set_num_threads(1)
    run = CodecTraining(config, RandomCrops(read_split(corpus, "train", 4000), 800, config.seed))
    run.start()
    return run


def test_training_learns_and_exports_what_it_learned(corpus: Path, tmp_path: Path) -> None:
    folder = train_codec(TINY, corpus, tmp_path, {"command": "the command"})
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [0, 20, 40, 60, 80]
    assert log[0]["snr_db"][-1] > 1.0  # the linear codec that it starts from
    assert log[-1]["mel_distance"][-1] < 0.9 * log[0]["mel_distance"][-1]
    card = json.loads((folder / "card.json").read_text())
    codec = load_codec(str(folder))
    assert card["sha256"] == codec.sha256 and card["training"]["command"] == "the command"
    assert (codec.levels, codec.codebook_size, codec.frame_rate) == (2, 16, 100.0)


def test_stopped_and_resumed_equals_in_one_go(corpus: Path) -> None:
    whole = training(corpus)
    for _ in range(24):
        whole.train_step()
    first = training(corpus)
    for _ in range(16):
        first.train_step()
    second = training(corpus)
    second.load_state_dict(first.state_dict())
    for _ in range(8):
        second.train_step()
    assert second.step == 24
    for name, value in whole.state_dict()["network"].items():
        torch.testing.assert_close(second.state_dict()["network"][name], value, rtol=0, atol=0)
    for book, value in zip(second.state_dict()["quantizer"], whole.state_dict()["quantizer"], strict=True):
        torch.testing.assert_close(book, value, rtol=0, atol=0)


def test_a_killed_training_goes_on_and_ends_as_if_undisturbed(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_codec(TINY, corpus, tmp_path / "whole", {})
    step = CodecTraining.train_step

    def killed(run: CodecTraining) -> dict[str, float]:
        if run.step == 50:
            raise KeyboardInterrupt
        return step(run)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CodecTraining, "train_step", killed)
        train_codec(TINY, corpus, tmp_path / "killed", {})
    again = train_codec(TINY, corpus, tmp_path / "killed", {})
    assert load_codec(str(again)).sha256 == load_codec(str(whole)).sha256
    logs = [[json.loads(x) for x in (tmp_path / n / "log.jsonl").read_text().splitlines()] for n in ("whole", "killed")]
    assert [{**line, "minutes": 0} for line in logs[0]] == [{**line, "minutes": 0} for line in logs[1]]


@pytest.mark.parametrize("fails_at", [1, 4, 7])
def test_a_full_disk_loses_nothing_that_was_written(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Whichever file does not fit any more: one line, all files whole, and the same codec after going on."""
    whole = train_codec(TINY, corpus, tmp_path / "whole", {})
    writes = 0
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes > fails_at:
            write(path, bytes(content)[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    class Full(torch_files._Writer):
        """The same for a checkpoint."""

        def __init__(self, stream: BinaryIO) -> None:
            nonlocal writes
            super().__init__(stream)
            writes += 1
            self.full = writes > fails_at

        def write(self, data: bytes) -> int:
            if self.full:
                self.error = OSError(errno.ENOSPC, "No space left on device")
                raise self.error
            return super().write(data)

    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"cannot write .* No space left on device"):
        patch.setattr(Path, "write_bytes", full)
        patch.setattr(torch_files, "_Writer", Full)
        train_codec(TINY, corpus, tmp_path / "full", {})
    if (tmp_path / "full" / "codec" / "model.safetensors").is_file():
        load_codec(str(tmp_path / "full" / "codec"))
    again = train_codec(TINY, corpus, tmp_path / "full", {})
    assert load_codec(str(again)).sha256 == load_codec(str(whole)).sha256


def test_learning_rate_warms_up_and_falls(corpus: Path) -> None:
    run = training(corpus)
    assert run.learning_rate() == pytest.approx(TINY.learning_rate / 5)
    run.step = 40
    assert run.learning_rate() == pytest.approx((TINY.learning_rate + TINY.final_learning_rate) / 2)
    run.step = 80
    assert run.learning_rate() == pytest.approx(TINY.final_learning_rate)


def test_the_loss_does_not_depend_on_the_workers(corpus: Path) -> None:
    losses = []
    for workers in (1, 2):
        run = training(corpus, dataclasses.replace(TINY, workers=workers))
        run.train_step()
        losses.append(run.train_step())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_another_configuration_does_not_resume(corpus: Path, tmp_path: Path) -> None:
    short = dataclasses.replace(TINY, steps=10)
    train_codec(short, corpus, tmp_path, {})
    with pytest.raises(UserError, match="another configuration"):
        train_codec(dataclasses.replace(short, seed=1), corpus, tmp_path, {})


@pytest.mark.parametrize("content", [b"", b"PK", b"\xff" * 100])
def test_a_damaged_checkpoint_is_named_and_kept(corpus: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
        train_codec(TINY, corpus, tmp_path, {})
    assert (tmp_path / "checkpoint.pt").read_bytes() == content


@pytest.mark.parametrize("name", ["crop_seconds", "batch", "steps", "checkpoint_every"])
def test_sizes_of_zero(name: str) -> None:
    with pytest.raises(UserError, match=f"codec_training.{name}=0 must be above 0"):
        dataclasses.replace(TINY, **{name: 0})


def test_impossible_shapes() -> None:
    with pytest.raises(UserError, match=r"codec_training\.shape\.levels=0 must be above 0"):
        dataclasses.replace(TINY.shape, levels=0)
    with pytest.raises(UserError, match=r"hop \(41\) must be even"):
        dataclasses.replace(TINY.shape, hop=41)


def test_what_is_missing_is_said(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make the corpus first"):
        read_split(tmp_path, "train", 4000)
    with pytest.raises(UserError, match="no clip of the test split"):
        read_split(corpus, "test", 4000)
    with pytest.raises(UserError, match="not mono at 8000 Hz"):
        read_split(corpus, "train", 8000)
    with pytest.raises(UserError, match="lower crop_seconds"):
        RandomCrops([np.zeros(10, np.int16)], 100, 0)


def test_crops_are_pieces_of_the_clips_and_not_silent() -> None:
    clip = np.concatenate([np.zeros(5000), np.arange(1, 5001)]).astype(np.int16)
    crops_BN = RandomCrops([clip], 100, 0).batch(50)
    assert bool((crops_BN.abs().amax(1) > 0).all())
    steps_BN = crops_BN.diff(dim=1) * 32768
    assert bool(((steps_BN == 1) | (steps_BN == 0)).all())


def test_steps_that_are_not_finite_leave_everything_as_it_was_and_end_the_training(corpus: Path) -> None:
    run = training(corpus)
    run.train_step()
    before = run.state_dict()
    network = {name: value.clone() for name, value in before["network"].items()}
    books = [{name: value.clone() for name, value in book.items()} for book in before["quantizer"]]
    run.crops.batch = lambda size: torch.full((size, 800), torch.nan)  # type: ignore[method-assign]
    with pytest.raises(UserError, match="20 codec steps in a row were not finite"):
        for _ in range(30):
            run.train_step()
    torch.testing.assert_close(run.state_dict()["network"], network, rtol=0, atol=0)
    torch.testing.assert_close(run.state_dict()["quantizer"], books, rtol=0, atol=0)


def test_a_rebuilt_corpus_does_not_resume(corpus: Path, tmp_path: Path) -> None:
    short = dataclasses.replace(TINY, steps=2)
    train_codec(short, corpus, tmp_path / "out", {})
    other = tmp_path / "corpus"
    shutil.copytree(corpus, other)
    with open(other / "clips.jsonl", "a") as table:
        table.write(sealed_lines([{"id": "c0", "split": "train"}]))
    with pytest.raises(UserError, match="another configuration or corpus"):
        train_codec(short, other, tmp_path / "out", {})
