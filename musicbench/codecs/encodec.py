"""EnCodec models of transformers as a ``Codec``: the bundled mini and facebook/encodec_32khz alike."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import EncodecModel
from transformers.models.encodec.modeling_encodec import EncodecLSTM
from transformers.utils import cached_file, logging

from musicbench.codecs.chunks import context_frames, in_chunks
from musicbench.errors import UserError
from musicbench.files import sha256_file

MINI_FOLDER = Path(__file__).parent.parent / "assets" / "codec_mini"
CHUNK_FRAMES = 500  # 10 s at 50 Hz; bounds memory, the result does not depend on it
WEIGHTS = "model.safetensors"
# Bookkeeping of codebook training, of no use in encoding and decoding.
UNUSED = ("cluster_size", "embed_avg", "inited")


class EncodecCodec:
    """A mono EnCodec model with weight normalisation (see ``codecs.base.Codec`` for the attributes).

    Convolutions run in chunks of ``CHUNK_FRAMES``, the LSTM (where the model has one) over all frames, so that
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
        self._encoder_frames = nn.Sequential(*map(_without_idle_lstm, encoder[recurrent:]))
        recurrent = next(i for i, layer in enumerate(decoder) if isinstance(layer, EncodecLSTM))
        self._decoder_frames = nn.Sequential(*map(_without_idle_lstm, decoder[: recurrent + 1]))
        self._decoder_convolutions = nn.Sequential(*decoder[recurrent + 1 :])
        self._encoder_context = context_frames(self._encoder_convolutions, self.hop, upsampling=False)
        self._decoder_context = context_frames(self._decoder_convolutions, self.hop, upsampling=True)

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        """Code vectors of every level, float32 [K, V, C] on the CPU."""
        state = self._quantizer.state_dict()
        return torch.stack([state[f"layers.{k}.codebook.embed"].float().cpu() for k in range(self.levels)])

    def to(self, device: torch.device | str) -> "EncodecCodec":
        """Move the weights; inputs may lie anywhere, outputs come back where the input was."""
        for module in self._modules():
            module.to(device)
        return self

    def _modules(self) -> tuple[nn.Module, ...]:
        return (
            self._encoder_convolutions,
            self._encoder_frames,
            self._quantizer,
            self._decoder_frames,
            self._decoder_convolutions,
        )

    @torch.inference_mode()
    def encode(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Audio [B, N] in [-1, 1] to int64 codes [B, K, T], T = ceil(N / hop); the last frame is zero-padded.

        Raises:
            ValueError: the audio is not [B, N] with N > 0.
        """
        if audio_BN.ndim != 2 or audio_BN.shape[-1] == 0:
            raise ValueError(f"audio must be [B, N] with N > 0, not {list(audio_BN.shape)}")
        frames = -(-audio_BN.shape[-1] // self.hop)
        padded_BN = nn.functional.pad(audio_BN.float(), (0, frames * self.hop - audio_BN.shape[-1]))
        return torch.cat([self._encode_rows(rows, frames) for rows in _row_groups(padded_BN, frames)])

    def _encode_rows(self, audio_BN: torch.Tensor, frames: int) -> torch.Tensor:
        device = next(self._encoder_convolutions.parameters()).device
        signal_BCN = audio_BN[:, None].to(device)
        hidden_BDT = in_chunks(self._encoder_convolutions, signal_BCN, frames, CHUNK_FRAMES, self._encoder_context)
        codes_KBT = self._quantizer.encode(self._encoder_frames(hidden_BDT))
        return codes_KBT.transpose(0, 1).to(audio_BN.device)

    @torch.inference_mode()
    def decode(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        """Codes [B, k, T] to float32 audio [B, T * hop]; k < K levels decode to a coarser sound.

        Raises:
            ValueError: the codes are not [B, k, T] with 0 < k <= K, T > 0 and values in [0, V).
        """
        if codes_BKT.ndim != 3 or not 0 < codes_BKT.shape[1] <= self.levels or codes_BKT.shape[-1] == 0:
            raise ValueError(f"codes must be [B, K, T] with K <= {self.levels} and T > 0, not {list(codes_BKT.shape)}")
        if codes_BKT.min() < 0 or codes_BKT.max() >= self.codebook_size:
            raise ValueError(
                f"codes must lie in 0 .. {self.codebook_size - 1}, not {int(codes_BKT.min())} .. {int(codes_BKT.max())}"
            )
        return torch.cat([self._decode_rows(rows) for rows in _row_groups(codes_BKT, codes_BKT.shape[-1])])

    def _decode_rows(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        device = next(self._decoder_convolutions.parameters()).device
        embedding_BDT = self._quantizer.decode(codes_BKT.long().transpose(0, 1).to(device))
        audio_BCN = in_chunks(
            self._decoder_convolutions,
            self._decoder_frames(embedding_BDT),
            codes_BKT.shape[-1],
            CHUNK_FRAMES,
            self._decoder_context,
        )
        return audio_BCN[:, 0].to(codes_BKT.device)


def _row_groups(batch: torch.Tensor, frames: int) -> tuple[torch.Tensor, ...]:
    return batch.split(max(1, CHUNK_FRAMES // frames))


def _without_idle_lstm(layer: nn.Module) -> nn.Module:
    # transformers cannot build an EnCodec without LSTM; one whose weights are all zero adds exactly nothing.
    if isinstance(layer, EncodecLSTM) and not any(parameter.any() for parameter in layer.parameters()):
        return nn.Identity()
    return layer


def load_codec(name_or_folder: str = "mini") -> EncodecCodec:
    """The bundled codec ("mini"), or an EnCodec model from a local folder or a hub id.

    Raises:
        UserError: there is no such folder or hub model (or no network), or it is no mono EnCodec model.
    """
    folder, id = _located(name_or_folder)
    try:
        described: Any = json.loads((folder / "config.json").read_bytes())
        if not isinstance(described, dict):
            raise ValueError("no mapping")
    except ValueError as error:
        raise UserError(f"{folder / 'config.json'} is not valid JSON ({error}); download the model again") from error
    if described.get("model_type") != "encodec":
        raise UserError(
            f"{name_or_folder} is a {described.get('model_type')} model, not an EnCodec codec; "
            "try facebook/encodec_32khz"
        )
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
        raise UserError(f"{folder / WEIGHTS} lacks weights such as {(missing or ['?'])[0]}; download the model again")
    return EncodecCodec(model, id=id, sha256=sha256_file(folder / WEIGHTS))


def _located(name_or_folder: str) -> tuple[Path, str]:
    """The folder of a model and its id: of a local one the folder's name, since paths differ between machines."""
    if name_or_folder == "mini":
        return MINI_FOLDER, name_or_folder
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        for name in ("config.json", WEIGHTS):
            if not (folder / name).is_file():
                raise UserError(f"{folder} holds no {name}; give the folder of an EnCodec model")
        return folder, folder.resolve().name
    try:
        files = [cached_file(name_or_folder, name) for name in ("config.json", WEIGHTS)]
    except OSError as error:
        raise UserError(
            f"no codec {name_or_folder}: no such folder, and the model hub did not give it "
            "(offline, or no such model); use mini, or a folder with config.json and model.safetensors"
        ) from error
    return Path(str(files[0])).parent, name_or_folder
