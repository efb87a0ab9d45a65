"""Masked models of ours in audiocraft's format: its rules draw the same tokens from the file."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from musicbench import released
from musicbench.errors import UserError
from musicbench.generators.masked import MagnetLM
from musicbench.models.conditions import Conditions
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.plain_files import parse_yaml
from musicbench.released.export import export
from musicbench.released.surroundings import Surroundings
from tests.helpers import audiocraft_reference as theirs
from tests.helpers.small_released import lively

MODEL = {"levels": 3, "codebook_size": 20, "text_dim": 12, "dim": 32, "layers": 2, "heads": 4}
AROUND = Surroundings(SimpleNamespace(id="google-t5/t5-base"), None, channels=1, frame_rate=50.0, seconds=10.0)
SAMPLING = MaskedSampling(iterations=(7, 4, 4), top_k=1, top_p=1.0, remasking="released")


def make(context: int | None = 5, **changes: Any) -> MagnetLM:
    """A module of ours, as a run has it, none of whose tokens is as sure as can be."""
    model = {**MODEL, "null_caption": "zeros", "text_padding": "zeros", **changes}
    module = MagnetLM(model=model, optimiser={"lr": 1e-3, "total_steps": 1}, context=context)
    torch.manual_seed(0)
    lively(module)
    with torch.no_grad():
        module.lm.heads_KVD.mul_(0.3)
    return module.eval()


def captions(lengths: list[int]) -> Conditions:
    mask_BL = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    states_BLE = torch.randn(len(lengths), max(lengths), 12, generator=torch.Generator().manual_seed(1))
    return Conditions.of_text(states_BLE, mask_BL)


@pytest.mark.parametrize(
    ("context", "changes"),
    [
        (5, {}),
        (None, {"cfg": 4.0, "span_score": "product"}),
        (2, {"anneal": "constant", "temperature": 1.5, "span": 2}),
    ],
    ids=str,
)
def test_by_its_rules_the_same_tokens_are_drawn(context, changes, tmp_path):
    module = make(context)
    sampling = MaskedSampling(**{**vars(SAMPLING), **changes})
    notes = export(module, sampling, AROUND, tmp_path / "out")
    assert notes == [f"audiocraft also wants compression_state_dict.bin of the codec in {tmp_path / 'out'}"]
    content = torch.load(tmp_path / "out" / "state_dict.bin", weights_only=True)
    state, settings = content["best_state"], parse_yaml(content["xp.cfg"])
    assert all(tensor.untyped_storage().nbytes() == 4 * tensor.numel() for tensor in state.values())
    network, lm = settings["transformer_lm"], settings["generate"]["lm"]
    conditions = captions([5, 2, 0])
    found_BKT = module.generate(conditions, 36, [1, 2, 3], sampling)
    for text_LD, found_KT in zip(theirs.text_of(state, conditions), found_BKT, strict=True):
        wanted_KT = theirs.magnet_greedy(
            state, network["num_heads"], text_LD, 36, lm, network["subcodes_context"], settings["masking"]["span_len"]
        )
        assert torch.equal(found_KT, wanted_KT)
    # Frames differ, or it would not matter which spans are masked again.
    assert len(found_BKT.unique()) > 6 and max(codes_KT.unique(dim=1).shape[1] for codes_KT in found_BKT) > 4


def test_the_file_has_the_names_and_shapes_of_a_released_one(tmp_path):
    export(make(), SAMPLING, AROUND, tmp_path / "out")
    state = torch.load(tmp_path / "out" / "state_dict.bin", weights_only=True)["best_state"]
    wanted = theirs.random_state(3, 20, 32, 2, 12)
    assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in wanted.items()}


def test_there_and_back_it_is_the_same_model(tmp_path):
    module = make(context=None)
    sampling = MaskedSampling(iterations=(5, 2, 2), span=2, cfg=7.0, top_p=0.8, remasking="released")
    export(module, sampling, AROUND, tmp_path / "out")
    back = released.load(tmp_path / "out")
    assert back.sampling == MaskedSampling(**{**vars(sampling), "prompt_upper_levels": "shown"})
    assert back.released.options == {"context": None, "span": 2} and back.released.seconds == 10.0
    assert isinstance(back.module, MagnetLM) and back.module.lm.context is None
    assert not back.module.lm.embedding.weight[-1].any()
    conditions = captions([4, 1])
    found, wanted = (lm.generate(conditions, 20, [1, 2], SAMPLING) for lm in (back.module, module))
    assert torch.equal(found, wanted)
    own = module.lm.state_dict()
    for name, weight in back.module.lm.state_dict().items():
        if name != "embedding.weight":
            assert torch.equal(weight, own[name]), name


@pytest.mark.parametrize(
    ("changes", "sampling", "said"),
    [
        ({"position": "both"}, {}, "model.position=both cannot be exported"),
        ({"null_caption": None}, {}, "guidance against a learned null caption cannot be exported"),
        ({}, {"anneal": "linear_from_start"}, "decode.anneal=linear_from_start cannot be exported"),
        ({}, {"rescore": 0.5}, "a rescorer cannot be exported"),
        ({}, {"top_k": 5, "top_p": 0.9}, "decode.top_p cannot be exported beside decode.top_k"),
    ],
    ids=str,
)
def test_what_the_format_cannot_express(changes, sampling, said, tmp_path):
    with pytest.raises(UserError) as error:
        export(make(**changes), MaskedSampling(**{**vars(SAMPLING), **sampling}), AROUND, tmp_path / "out")
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_learned_null_caption_goes_without_guidance(tmp_path):
    sampling = MaskedSampling(**{**vars(SAMPLING), "cfg": 1.0, "cfg_final": 1.0})
    export(make(null_caption=None), sampling, AROUND, tmp_path / "out")
    assert released.open(tmp_path / "out").sampling["cfg"] == 1.0


def test_what_differs_there_is_said(tmp_path):
    around = AROUND._replace(encoder=SimpleNamespace(id="minilm"))
    notes = export(make(text_padding=None), MaskedSampling(iterations=(1, 1, 1)), around, tmp_path / "out")
    assert [note.split("; ")[0] for note in notes[1:]] == [
        "audiocraft makes text encoders of T5 alone, by name, and not minilm",
        "audiocraft masks again as decode.remasking=released does, which may give other tokens",
        "captions of unequal length in one batch: their padding is not seen in this run, and seen in audiocraft",
    ]
