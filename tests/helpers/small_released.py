"""Small MusicGen checkpoints with random weights, as transformers and audiocraft save them."""

from pathlib import Path
from typing import Any

import torch
import yaml
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    EncodecModel,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyForConditionalGeneration,
    T5Config,
    T5Tokenizer,
)

from tests.helpers.small_codecs import noise, small_encodec, spread

LEVELS, SIZE = 3, 64
STATE_SIZES = {"levels": LEVELS, "size": SIZE, "dim": 32, "layers": 2, "text_dim": 16}
"""Of ``audiocraft_reference.random_state``."""
T5 = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}


def small_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer that knows English letters and pairs of them."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    letters = [(c, -4.0) for c in f"▁{alphabet}0123456789,"]
    words = [(f"▁{a}{b}", -6.0) for a in alphabet for b in alphabet]
    more = [(f"{a}{b}", -6.5) for a in "aeiou" for b in alphabet]
    return T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters, *words, *more], extra_ids=200)


def small_musicgen(
    melody: bool = False, audio_channels: int = 1, sizes: dict[str, Any] | None = None, **t5: Any
) -> Any:
    """A MusicGen of transformers: text encoder, codec and language model, whose sizes may be others."""
    torch.manual_seed(0)
    kinds = (MusicgenConfig, MusicgenForConditionalGeneration)
    if melody:
        kinds = (MusicgenMelodyConfig, MusicgenMelodyForConditionalGeneration)
    codec = small_encodec(use_causal_conv=False, use_conv_shortcut=False)
    decoder = {
        "vocab_size": SIZE, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 128,
        "num_codebooks": LEVELS * audio_channels, "audio_channels": audio_channels,
        "pad_token_id": SIZE, "bos_token_id": SIZE, **(sizes or {}),
    }  # fmt: skip
    text = T5Config(**{**T5, "vocab_size": len(small_tokenizer()), **t5})
    config = kinds[0](text_encoder=text.to_dict(), audio_encoder=codec.config.to_dict(), decoder=decoder)
    model = kinds[1](config)
    model.audio_encoder.load_state_dict(codec.state_dict())
    return model.eval()


@torch.no_grad()
def lively(model: nn.Module) -> nn.Module:
    """The model with weights of sizes at which attention is far from uniform and few tokens are nearly as likely."""
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.add_(torch.randn_like(weight) * 0.1)
        else:
            weight.normal_(std=1.0 if "embed" in name or "emb." in name else 1.5 * weight.shape[-1] ** -0.5)
    return model


def save_musicgen(model: Any, folder: Path, **options: Any) -> Path:
    """Save it as published ones are, with its tokenizer."""
    model.save_pretrained(folder, **options)
    small_tokenizer().save_pretrained(folder)
    return folder


def as_pickles(folder: Path) -> None:
    """Turn safetensors into PyTorch's own files."""
    for path in folder.glob("*.safetensors"):
        torch.save(
            load_file(path), folder / path.name.replace("model", "pytorch_model").replace(".safetensors", ".bin")
        )
        path.unlink()
    if (index := folder / "model.safetensors.index.json").is_file():
        text = index.read_text().replace("model-", "pytorch_model-").replace(".safetensors", ".bin")
        (folder / "pytorch_model.bin.index.json").write_text(text)
        index.unlink()


class SmallSeanet(nn.Module):
    """EnCodec by the package encodec, whose names and layers are those of audiocraft."""

    def __init__(self, seanet: dict[str, Any]) -> None:
        super().__init__()
        self.encoder, self.decoder = SEANetEncoder(**seanet), SEANetDecoder(**seanet)
        self.quantizer = ResidualVectorQuantizer(dimension=seanet["dimension"], n_q=LEVELS, bins=SIZE)

    def encode(self, audio_BCN: Tensor) -> Tensor:
        return self.quantizer.vq.encode(self.encoder(audio_BCN)).transpose(0, 1)

    def decode(self, codes_BKT: Tensor) -> Tensor:
        return self.decoder(self.quantizer.vq.decode(codes_BKT.transpose(0, 1)))


SEANET = {
    "dimension": 8, "channels": 1, "causal": False, "n_filters": 4, "n_residual_layers": 1, "ratios": [5, 4, 2],
    "activation": "ELU", "activation_params": {"alpha": 1.0}, "norm": "weight_norm", "norm_params": {},
    "kernel_size": 7, "residual_kernel_size": 3, "last_kernel_size": 7, "dilation_base": 2, "pad_mode": "constant",
    "true_skip": True, "compress": 2, "lstm": 2,
}  # fmt: skip


def small_seanet(**changes: Any) -> SmallSeanet:
    """A codec with code vectors where latents of noise are."""
    torch.manual_seed(0)
    seanet = SEANET | changes
    model = SmallSeanet(seanet).eval()
    books = [layer._codebook for layer in model.quantizer.vq.layers]
    for book in books:
        book.inited.fill_(1)
    spread(books, model.encoder(noise(4, seanet["channels"], 40 * 40)).detach())
    return model


def audiocraft_settings(**changes: Any) -> dict[str, Any]:
    """The parts of ``xp.cfg`` that describe a codec, with audiocraft's references from key to key."""
    decoder = {"trim_right_ratio": 1.0, "final_activation": None, "final_activation_params": None}
    seanet = {**SEANET, "channels": "${channels}", "causal": "${encodec.causal}"}
    return {
        "compression_model": "encodec",
        "sample_rate": 2000,
        "channels": 1,
        "encodec": {
            "autoencoder": "seanet", "quantizer": "rvq", "sample_rate": "${sample_rate}", "channels": "${channels}",
            "causal": False, "renormalize": False,
        },
        "seanet": {**seanet, "disable_norm_outer_blocks": 0, "decoder": decoder, "encoder": {}, **changes},
        "rvq": {"n_q": LEVELS, "q_dropout": False, "bins": SIZE, "decay": 0.99, "kmeans_init": True},
    }  # fmt: skip


def save_compression_state(model: SmallSeanet, settings: dict[str, Any], path: Path) -> Path:
    """Save it as audiocraft exports a codec."""
    content = {"best_state": model.state_dict(), "xp.cfg": yaml.safe_dump(settings), "version": "1.3.0"}
    torch.save(content | {"exported": True}, path)
    return path


def audiocraft_names(model: EncodecModel) -> dict[str, Tensor]:
    """The weights of an EnCodec of transformers as audiocraft, under torch's first kind of weight norm, names them."""
    changes = [
        (".layers.", ".model."), ("quantizer.model.", "quantizer.vq.layers."), (".codebook.", "._codebook."),
        (".parametrizations.weight.original0", ".weight_g"), (".parametrizations.weight.original1", ".weight_v"),
    ]  # fmt: skip
    upsampling = {
        f"decoder.layers.{number}." for number, layer in enumerate(model.decoder.layers) if is_transposed(layer)
    }
    named = {}
    for name, tensor in model.state_dict().items():
        name = name.replace(".conv.", ".convtr.convtr." if name.startswith(tuple(upsampling)) else ".conv.conv.")
        for old, new in changes:
            name = name.replace(old, new)
        named[name] = tensor
    return named


def is_transposed(layer: nn.Module) -> bool:
    return isinstance(getattr(layer, "conv", None), nn.ConvTranspose1d)
