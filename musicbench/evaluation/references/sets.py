"""The references of FAD: windows that a judge heard, or FMA-Pop's statistics as fadtk published them.

Shape suffixes: D width of embeddings, W windows of a clip.
"""

import hashlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import Known
from musicbench.evaluation.judges.fadtk import EMBEDDINGS, FadtkEmbedding
from musicbench.evaluation.metrics.moments import Array, RunningMoments
from musicbench.seals import load_npz

FMA_POP = "FMA-Pop"
_IN_PACKAGE = "fadtk/stats/fma_pop.npz"
_ADVICE = "get the wheel by `pip download fadtk --no-deps` and name it"


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """Mean [D] and unbiased covariance [D, D], float64, of a judge's windows of reference audio.

    ``windows`` is None where their number is not known. ``note``: how they came about otherwise than by this judge.
    """

    id: str
    sha256: str
    windows: int | None
    mean_D: Array
    cov_DD: Array
    note: str = ""

    @classmethod
    def from_embeddings(cls, id: str, sha256: str, embeddings: Sequence[np.ndarray]) -> "ReferenceSet":
        """All windows of some clips, given as embeddings [W, D] of each; ``sha256`` is of the audio.

        Raises:
            UserError: fewer than two windows in all, or embeddings with NaN or infinity.
        """
        if not embeddings:
            raise UserError(f"the reference set {id} has no clips; name a folder of audio")
        moments = RunningMoments(embeddings[0].shape[1])
        for embeddings_WD in embeddings:
            if not np.isfinite(embeddings_WD).all():
                raise UserError(f"the reference set {id} has embeddings with NaN or infinity; check its audio")
            moments.add(embeddings_WD)
        return cls(id, sha256, moments.count, moments.mean_D, moments.covariance)


def fma_pop(judge: Known, stats: Path | None = None) -> ReferenceSet:
    """FMA-Pop (Gui et al. 2024, arXiv 2311.01616): 4,839 pop tracks of FMA, as mean and covariance by fadtk.

    For judges that embed as fadtk does; what it does otherwise all the same is in the set's ``note``. Its ``sha256``
    is of the mean and the covariance, wherever they were found.

    Args:
        stats: the package's file fma_pop.npz or its wheel, which holds it; None: an installed fadtk's.

    Raises:
        UserError: the judge embeds in another way or has other weights; the file is missing or damaged.
    """
    embedding = _fadtk_embedding(judge)
    path = _installed() if stats is None else Path(stats).expanduser()
    if not path.is_file():
        raise UserError(f"no FMA-Pop statistics at {path}; {_ADVICE}")
    try:
        mean_D, cov_DD = _read(path, embedding.name)
        _check(mean_D, cov_DD, embedding.dimension)
    except Exception as error:  # zip, numpy and key errors, all of them the file's fault
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path} holds no {embedding.name} statistics of FMA-Pop ({reason}); {_ADVICE}") from error
    digest = hashlib.sha256(embedding.name.encode())
    for values in (mean_D, cov_DD):
        digest.update(values.astype("<f8").tobytes())
    return ReferenceSet(FMA_POP, digest.hexdigest(), None, mean_D, cov_DD, note=embedding.differences)


def _fadtk_embedding(judge: Known) -> FadtkEmbedding:
    embedding = getattr(judge, "fadtk", None)  # a user's judge may know nothing of it
    if embedding is None or not judge.sha256.startswith(embedding.weights_sha256):
        able = " or ".join(f"{each.name} ({each.weights})" for each in EMBEDDINGS)
        raise UserError(
            f"FMA-Pop has no statistics for judge {judge.id} (sha256 {judge.sha256[:12]}); "
            f"use a judge with weights for {able}, or a folder of reference audio"
        )
    return embedding


def _installed() -> Path:
    """Where an installed fadtk has the file; the package itself cannot be imported beside today's transformers."""
    spec = importlib.util.find_spec("fadtk")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"FMA-Pop's statistics come with the package fadtk, which is not installed; {_ADVICE}")
    return Path(spec.submodule_search_locations[0]).parent / _IN_PACKAGE


def _read(path: Path, name: str) -> tuple[Array, Array]:
    with ZipFile(path) as archive:  # an npz is a zip as well
        source = io.BytesIO(archive.read(_IN_PACKAGE)) if _IN_PACKAGE in archive.namelist() else path
    mean, covariance = load_npz(source, f"{name}.mu", f"{name}.cov").values()
    return np.asarray(mean, np.float64), np.asarray(covariance, np.float64)


def _check(mean_D: Array, cov_DD: Array, dimension: int) -> None:
    if mean_D.shape != (dimension,) or cov_DD.shape != (dimension, dimension):
        raise ValueError(f"shapes {mean_D.shape} and {cov_DD.shape}, where {dimension} dimensions are expected")
    if not (np.isfinite(mean_D).all() and np.isfinite(cov_DD).all()):
        raise ValueError("NaN or infinity")
    values_D = np.linalg.eigvalsh(cov_DD)
    if not np.allclose(cov_DD, cov_DD.T) or values_D[0] < -1e-8 * values_D[-1]:
        raise ValueError("no covariance: not symmetric, or negative in a direction")
