"""Models of the package encodec from files in its format: its own codes and sound."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from musicbench.codec_identity import identity
from musicbench.codecs import EncodecCodec, SegmentedCodec, load_codec
from musicbench.codecs.segmented import LOUDNESS
from musicbench.errors import UserError
from musicbench.files import sha256_file
from tests.helpers.small_codecs import noise, save_package_model, shrink_package


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_package(monkeypatch)


def test_24_khz(tmp_path: Path) -> None:
    model, path = save_package_model(24, tmp_path)
    codec = load_codec(str(path))
    assert isinstance(codec, EncodecCodec)
    assert (codec.id, codec.sha256) == (path.name, sha256_file(path))
    facts = (codec.sample_rate, codec.channels, codec.frame_rate, codec.levels, codec.codebook_size)
    assert facts == (24_000, 1, 75.0, 32, 1024)
    audio_BCN = noise(1, 1, 320 * 60)
    for bandwidth, levels in ((24.0, 32), (6.0, 8), (1.5, 2)):
        model.set_target_bandwidth(bandwidth)
        with torch.no_grad():
            encoded = model.encode(audio_BCN)
            decoded_BCN = model.decode(encoded)
        codec = load_codec(str(path), levels=levels)
        codes_BKT = codec.encode(audio_BCN)
        assert torch.equal(codes_BKT, encoded[0][0])
        assert len(codes_BKT[0, 0].unique()) > 8
        torch.testing.assert_close(codec.decode(codes_BKT), decoded_BCN, atol=1e-6, rtol=1e-5)


def test_48_khz(tmp_path: Path) -> None:
    model, _ = save_package_model(48, tmp_path)
    codec = load_codec(str(tmp_path), levels=4)
    assert isinstance(codec, SegmentedCodec)
    facts = (codec.sample_rate, codec.channels, codec.levels, codec.codebook_size)
    assert facts == (48_000, 2, 4, 1024)
    assert codec.frame_rate == pytest.approx(150 / 0.99)
    model.set_target_bandwidth(6.0)
    audio_BCN = noise(1, 2, 110_000)
    with torch.no_grad():
        encoded = model.encode(audio_BCN)
        decoded_BCN = model.decode([(codes, torch.full((1, 1), LOUDNESS)) for codes, _ in encoded])
    codes_BKT = codec.encode(audio_BCN)
    assert torch.equal(codes_BKT, torch.cat([codes for codes, _ in encoded], -1))
    torch.testing.assert_close(codec.decode(codes_BKT), decoded_BCN, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("rate", "levels"), [(24, 32), (48, 16)])
def test_a_file_says_which_codec_it_is(tmp_path: Path, rate: int, levels: int) -> None:
    _, path = save_package_model(rate, tmp_path)
    for chosen, channels in ((None, None), (levels, None), (2, None), (None, 2), (2, 2)):
        codec = load_codec(str(path), chosen, channels)
        assert identity(str(path), chosen, channels) == (codec.id, codec.sha256)
        assert codec.channels == (2 if rate == 48 else channels or 1)
    assert identity(str(path), levels + 1, None) is None


def test_damaged_and_foreign_files_are_one_clear_line(tmp_path: Path) -> None:
    _, path = save_package_model(24, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:1000])
    with pytest.raises(UserError, match=r"is damaged: its hash begins with .*download https://dl\.fbaipublicfiles"):
        load_codec(str(path))
    cut = path.rename(tmp_path / f"encodec_24khz-{sha256_file(path)[:8]}.th")
    with pytest.raises(UserError, match="cannot load the codec"):
        load_codec(str(cut))
    with pytest.raises(UserError, match="no file of the package encodec"):
        load_codec(str(cut.rename(tmp_path / "model.th")))
    with pytest.raises(UserError, match=r"no .*/encodec_48khz-7e698e3e\.th; download https://.*7e698e3e\.th to there"):
        load_codec(str(tmp_path / "encodec_48khz-7e698e3e.th"))
    for rate in (24, 48):
        save_package_model(rate, tmp_path)
    with pytest.raises(UserError, match="holds several codecs; name the file"):
        load_codec(str(tmp_path))


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm"),))


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for save in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        path = tmp_path / "weights"
        save({"encoder": Harmful()}, path)
        path = path.rename(tmp_path / f"encodec_24khz-{sha256_file(path)[:8]}.th")
        with pytest.raises(UserError, match="cannot load the codec"):
            load_codec(str(path))
    assert not (tmp_path / "harm").exists()
