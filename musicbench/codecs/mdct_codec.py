"""The bundled codec at work: an MDCT autoencoder, its codebooks, and the folder they are kept in.

Shape suffixes: B batch, K levels, T frames, N samples, V codebook size, C audio channels (in ``KVC`` width of code
vectors), D latent width.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from musicbench.codec_identity import CONFIG, WEIGHTS
from musicbench.codecs import chunked
from musicbench.codecs.chunked import whole_frames
from musicbench.codecs.chunks import in_chunks
from musicbench.codecs.decoding import ConvolutionDecoding, Window
from musicbench.codecs.mdct_network import MdctDecoder, MdctEncoder, MdctShape
from musicbench.codecs.residual import residual_decode, residual_encode
from musicbench.errors import UserError
from musicbench.files import atomic_path, sha256_file
from musicbench.plain_files import read_json
from musicbench.seals import CARD_SEAL, unsealed

MODEL_TYPE = "musicbench_mdct"
CARD = "card.json"


class MdctNetwork(nn.Module):
    """Encoder, decoder and codebooks [K, V, D]: what a codec's folder holds."""

    def __init__(self, shape: MdctShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder, self.decoder = MdctEncoder(shape), MdctDecoder(shape)
        self.register_buffer("books_KVD", torch.zeros(shape.levels, shape.codebook_size, shape.dimension))
        self.books_KVD: torch.Tensor

    def save(self, folder: Path) -> None:
        """config.json and model.safetensors, matrices in fp16. The latter holds the config too: its hash is of both."""
        weights = {
            name: (value.half() if value.ndim > 1 else value).contiguous().cpu()
            for name, value in self.state_dict().items()
        }
        described = {"model_type": MODEL_TYPE} | dataclasses.asdict(self.shape)
        with atomic_path(folder / WEIGHTS) as path:
            path.write_bytes(save(weights, metadata={CONFIG: json.dumps(described)}))
        with atomic_path(folder / CONFIG) as path:
            path.write_text(json.dumps(described, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, described: dict[str, Any]) -> "MdctNetwork":
        """The network of a folder whose config.json says ``described``.

        Raises:
            UserError: config, weights and card are damaged or do not fit each other.
        """
        card = read_card(folder)
        try:
            if sha256_file(folder / WEIGHTS) != card["sha256"]:
                raise ValueError(f"{WEIGHTS} does not match the sha256 in its card")
            network = cls(MdctShape(**{name: value for name, value in described.items() if name != "model_type"}))
            with safe_open(folder / WEIGHTS, "pt") as weights:
                if json.loads(weights.metadata()[CONFIG]) != described:
                    raise ValueError(f"{CONFIG} is not that of the weights")
                network.load_state_dict({name: weights.get_tensor(name).float() for name in network.state_dict()})
        except Exception as error:  # a damaged file fails in many ways, all of them the file's fault
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"cannot load the codec in {folder} ({reason}); copy or train it again") from error
        return network.eval()


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a codec's folder: the hash of its weights, and what is known of it.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return unsealed(read_json(folder / CARD), CARD_SEAL)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{folder / CARD} is damaged ({said}); copy the codec again, or train it again") from error


class MdctCodec(chunked.ChunkedCodec):
    """An ``MdctNetwork`` as a ``Codec``; clips are computed in chunks with the result of the whole."""

    def __init__(self, network: MdctNetwork, id: str, sha256: str) -> None:
        shape = network.shape
        self.id, self.sha256 = id, sha256
        self.sample_rate, self.hop = shape.sample_rate, shape.hop
        self.frame_rate = shape.sample_rate / shape.hop
        self.levels, self.codebook_size = shape.levels, shape.codebook_size
        self.beam = shape.beam
        self._network = network
        # and one frame, because windows overlap
        self._encoder_context = shape.encoder_blocks * (shape.kernel // 2) + 1
        self._decoder_context = shape.decoder_blocks * (shape.kernel // 2) + 1

    @classmethod
    def load(cls, folder: Path, described: dict[str, Any], id: str) -> "MdctCodec":
        """See ``MdctNetwork.load``."""
        return cls(MdctNetwork.load(folder, described), id, sha256_file(folder / WEIGHTS))

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        return self._network.books_KVD.float().cpu()

    @property
    def lookahead(self) -> int:
        """Frames after a frame that its sound depends on, at most."""
        return self._decoder_context

    def _modules(self) -> tuple[nn.Module, ...]:
        return (self._network,)

    def _drop_levels(self, levels: int) -> None:
        self._network.books_KVD = self._network.books_KVD[:levels]

    def _encode_row(self, audio_1CN: torch.Tensor) -> torch.Tensor:
        def latent(signal_BCN: torch.Tensor) -> torch.Tensor:
            return self._network.encoder(signal_BCN[:, 0]).transpose(1, 2)

        padded_1CN, frames = whole_frames(audio_1CN, self.hop)
        latent_BDT = in_chunks(latent, padded_1CN, frames, chunked.CHUNK_FRAMES, self._encoder_context)
        return residual_encode(latent_BDT.transpose(1, 2), self._network.books_KVD, self.beam)

    def _decode_row(self, codes_1KT: torch.Tensor) -> torch.Tensor:
        return self._sound(codes_1KT, (0, codes_1KT.shape[-1]))

    def _row_decoding(self) -> ConvolutionDecoding:
        return ConvolutionDecoding(Window(self._sound, self._decoder_context), self._silence_1C0)

    def _sound(self, codes_1KT: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
        def audio(latent_BDT: torch.Tensor) -> torch.Tensor:
            return self._network.decoder(latent_BDT.transpose(1, 2))[:, None]

        latent_BDT = residual_decode(codes_1KT, self._network.books_KVD).transpose(1, 2)
        frames = codes_1KT.shape[-1]
        return in_chunks(audio, latent_BDT, frames, chunked.CHUNK_FRAMES, self._decoder_context, span)
