"""What the judge hears is kept, and judged anew when audio or judge change."""

from pathlib import Path

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.features import hear
from tests.damage import exponent_bit, flip

RATE = 100


def read(path: Path) -> tuple[torch.Tensor, int]:
    return torch.from_numpy(np.load(path)), RATE


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "audio.npy"
    np.save(path, np.random.default_rng(0).uniform(-1, 1, 23 * RATE).astype(np.float32))
    return path


def test_windows_are_those_of_the_judge(stub_judge, recording, tmp_path):
    audio_N, _ = read(recording)
    every_second = stub_judge(audio_N[None], RATE).embeddings_BWD[0].numpy()
    spread = hear(stub_judge, recording, read, tmp_path / "kept", 3.0, None)
    np.testing.assert_array_equal(spread, every_second[::3])
    middle = hear(stub_judge, recording, read, tmp_path / "kept", 1.0, 10.0)
    np.testing.assert_array_equal(middle, every_second[6 : 6 + 8])
    np.testing.assert_array_equal(hear(stub_judge, recording, read, tmp_path / "kept", 1.0, 60.0), every_second)


def test_kept_until_audio_or_judge_change(stub_judge, recording, tmp_path):
    def listen() -> np.ndarray:
        return hear(stub_judge, recording, read, tmp_path / "kept", 3.0, None)

    first = listen()
    np.testing.assert_array_equal(listen(), first)
    assert stub_judge.calls == 1
    (kept,) = (tmp_path / "kept").iterdir()
    flip(kept, exponent_bit(kept, first.tobytes()[-4:]))
    np.testing.assert_array_equal(listen(), first)
    assert stub_judge.calls == 2, "a damaged file is made again"
    np.save(recording, np.load(recording) / 2)
    assert not np.allclose(listen(), first)
    stub_judge.sha256 = "6" * 64
    listen()
    assert stub_judge.calls == 4


def test_too_short(stub_judge, tmp_path):
    np.save(tmp_path / "short.npy", np.zeros(2 * RATE, np.float32))
    with pytest.raises(UserError, match="shorter than 3 s"):
        hear(stub_judge, tmp_path / "short.npy", read, tmp_path / "kept", 3.0, None)
