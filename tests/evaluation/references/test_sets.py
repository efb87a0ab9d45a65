"""Reference sets: from heard windows, and from a file such as fadtk's (the real one where FADTK_STATS names it)."""

import importlib.util
import io
import os
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from musicbench.errors import UserError
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judges.clap_model import ClapModelJudge
from musicbench.evaluation.judges.codec_latents import CodecLatents
from musicbench.evaluation.judges.fadtk import LAION_CLAP_MUSIC, VGGISH, FadtkEmbedding
from musicbench.evaluation.judges.laion_clap import LaionClap
from musicbench.evaluation.judges.passt import PaSST
from musicbench.evaluation.judges.vggish import VGGish
from musicbench.evaluation.metrics.frechet import frechet_distance
from musicbench.evaluation.references import sets as reference_sets
from musicbench.evaluation.references.sets import ReferenceSet, fma_pop

IN_WHEEL = "fadtk/stats/fma_pop.npz"


def judge(embedding: FadtkEmbedding | None, sha256: str | None = None) -> SimpleNamespace:
    sha256 = sha256 or (embedding.weights_sha256 if embedding else "").ljust(64, "0")
    return SimpleNamespace(id="a judge", fadtk=embedding, sha256=sha256)


def moments(dimension: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(seed).normal(size=(dimension + 10, dimension))
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


@pytest.fixture
def content() -> dict[str, np.ndarray]:
    """Names and types as in the real file."""
    arrays = {}
    for name, dimension in (("clap-2023", 9), ("clap-laion-music", 512), ("vggish", 128), ("encodec-emb", 128)):
        arrays[f"{name}.mu"], arrays[f"{name}.cov"] = moments(dimension, len(name))
    return arrays


def write(path: Path, content: dict[str, np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)
    return path


def wheel(path: Path, npz: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fadtk/__init__.py", "raise ImportError")
        archive.write(npz, IN_WHEEL)
    return path


# From heard windows


def test_from_embeddings():
    clips = [np.random.default_rng(n).normal(n, 1, (n, 3)).astype(np.float32) for n in (1, 4, 2)]
    found = ReferenceSet.from_embeddings("mine", "5" * 64, clips)
    rows = [[float(value) for value in row] for clip in clips for row in clip]
    mean = [sum(column) / 7 for column in zip(*rows, strict=True)]
    cov = [[sum((r[i] - mean[i]) * (r[j] - mean[j]) for r in rows) / 6 for j in range(3)] for i in range(3)]
    assert (found.id, found.sha256, found.windows, found.note) == ("mine", "5" * 64, 7, "")
    np.testing.assert_allclose(found.mean_D, mean, rtol=1e-12)
    np.testing.assert_allclose(found.cov_DD, cov, rtol=1e-10)
    assert found.mean_D.dtype == found.cov_DD.dtype == np.float64


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ([], "no clips"),
        ([np.zeros((1, 3))], "two windows"),
        ([np.zeros((2, 3)), np.full((1, 3), np.nan)], "NaN or infinity"),
    ],
)
def test_from_too_little(embeddings, message):
    with pytest.raises(UserError, match=message):
        ReferenceSet.from_embeddings("mine", "5" * 64, embeddings)


# From fadtk's file


@pytest.mark.parametrize("embedding", [VGGISH, LAION_CLAP_MUSIC])
def test_the_npz_and_the_wheel_hold_the_same(tmp_path, content, embedding):
    npz = write(tmp_path / "fma_pop.npz", content)
    found = fma_pop(judge(embedding), npz)
    assert found.id == "FMA-Pop" and found.windows is None
    np.testing.assert_array_equal(found.mean_D, content[f"{embedding.name}.mu"])
    np.testing.assert_array_equal(found.cov_DD, content[f"{embedding.name}.cov"])
    assert found.note == embedding.differences and "float16" in found.note
    again = fma_pop(judge(embedding), wheel(tmp_path / "fadtk-1.1.0-py3-none-any.whl", npz))
    assert again.sha256 == found.sha256 and len(found.sha256) == 64
    np.testing.assert_array_equal(again.cov_DD, found.cov_DD)


def test_the_hash_is_of_what_is_compared_with(tmp_path, content):
    hashes = [fma_pop(judge(each), write(tmp_path / "a.npz", content)).sha256 for each in (VGGISH, LAION_CLAP_MUSIC)]
    content["clap-2023.mu"] = content["clap-2023.mu"] + 1
    assert fma_pop(judge(VGGISH), write(tmp_path / "a.npz", content)).sha256 == hashes[0]
    for name in ("vggish.mu", "vggish.cov"):
        content[name] = content[name] * (1 + 1e-12)
        hashes.append(fma_pop(judge(VGGISH), write(tmp_path / "a.npz", content)).sha256)
    assert len(set(hashes)) == 4


def test_an_installed_fadtk_is_found_and_not_imported(tmp_path, content, monkeypatch):
    write(tmp_path / IN_WHEEL, content)
    (tmp_path / "fadtk" / "__init__.py").write_text("raise ImportError('transformers<5')")
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(fma_pop(judge(VGGISH)).mean_D, content["vggish.mu"])
    assert "fadtk" not in sys.modules
    (tmp_path / IN_WHEEL).unlink()
    with pytest.raises(UserError, match="no FMA-Pop statistics at"):
        fma_pop(judge(VGGISH))


def test_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed; get the wheel by `pip download fadtk --no-deps`"):
        fma_pop(judge(VGGISH))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vggish.mu": None}, "vggish.mu"),
        ({"vggish.cov": None}, "vggish.cov"),
        ({"vggish.mu": np.zeros(127)}, "where 128 dimensions are expected"),
        ({"vggish.cov": np.eye(127)}, "where 128 dimensions are expected"),
        ({"vggish.mu": np.full(128, np.nan)}, "NaN or infinity"),
        ({"vggish.cov": np.full((128, 128), np.inf)}, "NaN or infinity"),
        ({"vggish.cov": np.triu(np.ones((128, 128)))}, "no covariance"),
        ({"vggish.cov": -np.eye(128)}, "no covariance"),
        ({"vggish.mu": np.array(["text"])}, "holds no vggish statistics"),
        ({"vggish.mu": np.array([None] * 128)}, "holds no vggish statistics"),
    ],
)
def test_damaged_statistics(tmp_path, content, changes, message):
    changed = {name: value for name, value in {**content, **changes}.items() if value is not None}
    with pytest.raises(UserError, match=message) as caught:
        fma_pop(judge(VGGISH), write(tmp_path / "a.npz", changed))
    assert "pip download fadtk" in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_files(tmp_path, content):
    npz = write(tmp_path / "a.npz", content)
    whole = wheel(tmp_path / "a.whl", npz).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr(IN_WHEEL, b"no npz")
    for number, damaged in enumerate((b"", b"hello", whole[: len(whole) // 2], bytes(flipped), stored.getvalue())):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(UserError, match="holds no vggish statistics of FMA-Pop"):
            fma_pop(judge(VGGISH), tmp_path / "damaged")
            pytest.fail(f"damage {number} was not seen")
    for missing in (tmp_path / "gone.npz", tmp_path):
        with pytest.raises(UserError, match="no FMA-Pop statistics at"):
            fma_pop(judge(VGGISH), missing)


# Which judges may


def test_which_of_our_judges_embed_as_fadtk_does():
    assert VGGish.fadtk is VGGISH and LaionClap.fadtk is LAION_CLAP_MUSIC
    assert MusiCNN.fadtk is PaSST.fadtk is ClapModelJudge.fadtk is CodecLatents.fadtk is None


def test_the_weights_are_those_that_our_judges_ask_for():
    """Their addresses name the files; VGGish's file names its hash."""
    from musicbench.evaluation.judges import laion_clap, vggish

    assert vggish.URL.endswith(f"/{VGGISH.weights}") and f"-{VGGISH.weights_sha256}." in VGGISH.weights
    assert laion_clap.URL.endswith(f"/{LAION_CLAP_MUSIC.weights}") and len(LAION_CLAP_MUSIC.weights_sha256) == 64
    assert VGGISH.dimension == vggish.DIMENSION


@pytest.mark.parametrize("other", [judge(None), judge(VGGISH, "1" * 64), judge(LAION_CLAP_MUSIC, "1" * 64)])
def test_others_are_refused(tmp_path, content, other):
    message = r"no statistics for judge a judge .* vggish \(vggish-10086976.pth\) or clap-laion-music \(music_audio"
    with pytest.raises(UserError, match=message):
        fma_pop(other, write(tmp_path / "a.npz", content))


def test_a_judge_that_knows_nothing_of_fadtk_is_refused(tmp_path):
    with pytest.raises(UserError, match="no statistics for judge mine"):
        fma_pop(SimpleNamespace(id="mine", sha256="1" * 64), tmp_path / "a.npz")


def test_the_bundled_judge_is_refused(musicnn, tmp_path):
    with pytest.raises(UserError, match="no statistics for judge musicnn-mtt"):
        fma_pop(musicnn, tmp_path / "a.npz")


# The real file


@pytest.fixture(scope="module")
def real() -> Path:
    named = os.environ.get("FADTK_STATS")
    if named is None and importlib.util.find_spec("fadtk") is None:
        pytest.skip("no fadtk: name its wheel or its fma_pop.npz in the environment as FADTK_STATS")
    return Path(named) if named is not None else reference_sets._installed()


def test_the_real_statistics(real):
    vggish, clap = (fma_pop(judge(embedding), real) for embedding in (VGGISH, LAION_CLAP_MUSIC))
    assert vggish.mean_D.shape == (128,) and clap.cov_DD.shape == (512, 512)
    assert vggish.mean_D.min() < -0.5, "before the last ReLU"
    # E|x|^2 = |mean|^2 + tr cov: of unit vectors as our judge's are, up to their storage as float16.
    assert clap.mean_D @ clap.mean_D + np.trace(clap.cov_DD) == pytest.approx(1, abs=1e-4)
    for found in (vggish, clap):
        assert frechet_distance(found.mean_D, found.cov_DD, found.mean_D, found.cov_DD) < 1e-9
        shift = frechet_distance(found.mean_D + 2, found.cov_DD, found.mean_D, found.cov_DD)
        assert shift == pytest.approx(4 * len(found.mean_D), rel=1e-9)
