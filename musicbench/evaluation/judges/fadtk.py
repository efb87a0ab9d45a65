"""Which of our judges embed as fadtk does (Gui et al. 2024, arXiv 2311.01616), so that its statistics are theirs.

What is said of fadtk here is read from its version 1.1.0.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FadtkEmbedding:
    """An embedding of fadtk, and what it takes to compute the same.

    ``name``: fadtk's own; ``weights_sha256``: of the weights file, or how it starts; ``weights``: that file's name;
    ``differences``: what fadtk does otherwise, which changes values but not what is measured.
    """

    name: str
    dimension: int
    weights_sha256: str
    weights: str
    differences: str


VGGISH = FadtkEmbedding(
    name="vggish",
    dimension=128,
    weights_sha256="10086976",
    weights="vggish-10086976.pth",
    # The same windows, and the same last layer: before its ReLU, without PCA.
    differences="fadtk resamples with another filter, rounds audio to 16 bit and embeddings to float16, "
    "and fills clips below 1 s with zeros",
)
LAION_CLAP_MUSIC = FadtkEmbedding(
    name="clap-laion-music",
    dimension=512,
    weights_sha256="fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd",
    weights="music_audioset_epoch_15_esc_90.14.pt",
    differences="fadtk's windows start every 1 s up to the end of a clip, so that the last nine of its 10 s windows "
    "are filled with zeros; it resamples with another filter, rounds audio to 16 bit and embeddings to float16",
)
EMBEDDINGS = (VGGISH, LAION_CLAP_MUSIC)
