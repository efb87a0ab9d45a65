"""EnCodec models of transformers as a ``Codec``: facebook/encodec_32khz and its like.

Shape suffixes: B batch, K levels, T frames, N samples, V codebook size, C audio channels (in ``KVC`` width of code
vectors), D latent width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import EncodecModel
from transformers.models.encodec.modeling_encodec import EncodecLSTM
from transformers.utils import logging

from musicbench.codecs import chunked
from musicbench.codecs.chunked import WEIGHTS
from musicbench.codecs.chunks import context_frames, in_chunks
from musicbench.errors import UserError
from musicbench.files import sha256_file

# Bookkeeping of codebook training, of no use in encoding and decoding.
UNUSED = ("cluster_size", "embed_avg", "inited")


class EncodecCodec(chunked.ChunkedCodec):
    """A mono EnCodec model with weight normalisation (see ``codecs.base.Codec`` for the attributes).

    Convolutions run in chunks, the LSTM (where the model has one) over all frames, so that
    memory stays bounded and the result is that of the whole clip.
    """

    def __init__(self, model: EncodecModel, id: str, sha256: str) -> None:
        """
        Raises:
            UserError: the model is stereo, rescales its input or cuts it into fixed segments.
        """
        config = model.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s or config.norm_type != "weight_norm":
            raise UserError(
                f"codec {id} is a stereo or segmenting EnCodec model; use a mono one such as facebook/encodec_32khz"
            )
        self.id = id
        self.sha256 = sha256
        self.sample_rate: int = config.sampling_rate
        self.hop: int = config.hop_length
        self.frame_rate: float = self.sample_rate / self.hop
        self.levels: int = model.quantizer.num_quantizers
        self.codebook_size: int = config.codebook_size
        self._quantizer = model.quantizer.eval()
        encoder, decoder = list(model.encoder.eval().layers), list(model.decoder.eval().layers)
        recurrent = next(i for i, layer in enumerate(encoder) if isinstance(layer, EncodecLSTM))
        self._encoder_convolutions = nn.Sequential(*encoder[:recurrent])
        self._encoder_frames = nn.Sequential(*encoder[recurrent:])
        recurrent = next(i for i, layer in enumerate(decoder) if isinstance(layer, EncodecLSTM))
        self._decoder_frames = nn.Sequential(*decoder[: recurrent + 1])
        self._decoder_convolutions = nn.Sequential(*decoder[recurrent + 1 :])
        self._encoder_context = context_frames(self._encoder_convolutions, self.hop, upsampling=False)
        self._decoder_context = context_frames(self._decoder_convolutions, self.hop, upsampling=True)

    @classmethod
    def load(cls, folder: Path, id: str) -> "EncodecCodec":
        """The model in a folder in transformers' format.

        Raises:
            UserError: it is damaged, incomplete, or no mono EnCodec model.
        """
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            loaded: Any = EncodecModel.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # a damaged file fails in many ways, all of them the file's fault
            reason = " ".join(str(error).split())
            raise UserError(f"cannot load the codec in {folder} ({reason}); download it again") from error
        finally:
            if bars:
                logging.enable_progress_bar()
        model, info = loaded
        missing = [key for key in info["missing_keys"] if not key.endswith(UNUSED)]
        if missing or info["mismatched_keys"]:
            raise UserError(
                f"{folder / WEIGHTS} lacks weights such as {(missing or ['?'])[0]}; download the model again"
            )
        return cls(model, id, sha256_file(folder / WEIGHTS))

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        state = self._quantizer.state_dict()
        return torch.stack([state[f"layers.{k}.codebook.embed"].float().cpu() for k in range(self.levels)])

    @property
    def lookahead(self) -> int:
        # The LSTM looks back only, the convolutions on both sides of it look ahead.
        return self._decoder_context + context_frames(self._decoder_frames, self.hop, upsampling=True)

    def _modules(self) -> tuple[nn.Module, ...]:
        return (
            self._encoder_convolutions,
            self._encoder_frames,
            self._quantizer,
            self._decoder_frames,
            self._decoder_convolutions,
        )

    def _encode_rows(self, audio_BCN: torch.Tensor, frames: int) -> torch.Tensor:
        hidden_BDT = in_chunks(
            self._encoder_convolutions, audio_BCN, frames, chunked.CHUNK_FRAMES, self._encoder_context
        )
        codes_KBT: torch.Tensor = self._quantizer.encode(self._encoder_frames(hidden_BDT))
        return codes_KBT.transpose(0, 1)

    def _decode_rows(self, codes_BKT: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
        embedding_BDT = self._quantizer.decode(codes_BKT.transpose(0, 1))
        return in_chunks(
            self._decoder_convolutions,
            self._decoder_frames(embedding_BDT),
            codes_BKT.shape[-1],
            chunked.CHUNK_FRAMES,
            self._decoder_context,
            span,
        )
