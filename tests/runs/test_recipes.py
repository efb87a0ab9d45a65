"""The papers' recipes: their settings, their sizes, and one step of each on a tiny store."""

import pytest
import torch

from musicbench.runs.checkpoints import read_checkpoint
from musicbench.runs.compose import compose
from musicbench.runs.folder import BEST, LAST
from musicbench.runs.run import Run
from tests.helpers.fitting import fit

MUSICGEN = {
    "data.seconds": 30,
    "training.steps": 1_000_000,
    "training.batch_size": 192,
    "training.ema_decay": 0.99,
    "training.ema_every": 10,
    "optimiser.lr": 1e-4,
    "optimiser.final_lr": 0,
    "optimiser.warmup_steps": 4000,
    "optimiser.weight_decay": 0.1,
    "optimiser.clip_norm": 1,
    "optimiser.betas": [0.9, 0.95],
    "optimiser.decayed": "all",
    "family.condition_dropout": 0.2,
    "family.condition_dropout_per": "step",
    "trainer.precision": "16-mixed",
    "decode.cfg": 3,
    "decode.top_k": 250,
    "decode.temperature": 1,
    "pattern.pattern": "delay",
    "pattern.tail": "untrained",
    "model.dropout": 0,
    "model.position": "sinusoidal",
    "model.from_codebooks": False,
    "model.null_caption": "zeros",
    "model.text_padding": "zeros",
    "model.initialisation": "musicgen",
    "codec.name_or_folder": "facebook/encodec_32khz",
    "text.source": "google-t5/t5-base",
}
MAGNET = {
    "family.condition_dropout": 0.3,
    "family.context": 5,
    "family.span": 3,
    "decode.iterations": [60, 10, 10, 10],
    "decode.cfg": 10,
    "decode.cfg_final": 1,
    "decode.temperature": 3,
    "decode.anneal": "linear",
    "decode.top_p": 0.9,
    "decode.top_k": 0,
    "decode.span": 3,
    "decode.spans": "nonoverlap",
    "decode.span_score": "max",
}
RECIPES = {
    "musicgen_300m": {},
    "musicgen_1b5": {},
    "musicgen_3b3": {},
    "stack_and_delay": {
        "training.steps": 400_000,
        "optimiser.final_lr": 1e-5,
        "optimiser.clip_norm": 0,
        "pattern.pattern": "stack_delay",
        "pattern.tail": None,
        "schedule.schedule": "block_4",
    },
    "magnet_30s": MAGNET,
    "magnet_10s": {
        **MAGNET,
        "data.seconds": 10,
        "training.batch_size": 576,
        "decode.iterations": [20, 10, 10, 10],
    },
}
# Width, layers, heads.
SIZES = {"musicgen_1b5": (1536, 48, 24), "musicgen_3b3": (2048, 48, 32)}
SMALL = (1024, 24, 16)
TEXT_DIM = 768
"""Of T5-base."""


@pytest.fixture
def recipe(make_token_store, stub_encoder, tmp_path):
    """``recipe(name, *overrides)`` -> Run of a recipe over a tiny store of 4 levels x 2048 codes."""

    def make(name: str, *overrides: str) -> Run:
        places = [f"data.store={make_token_store(levels=4, size=2048)}", f"cache={tmp_path / 'cache'}"]
        run = Run(compose("train", [f"experiment={name}", *places, *overrides]))
        run.parts.__dict__.update(encoder=stub_encoder)
        run.__dict__.update(training_id="0dd5")
        return run

    return make


@pytest.mark.parametrize("name", RECIPES)
def test_settings_are_those_of_the_paper(name):
    config = compose("train", [f"experiment={name}"])
    masked = name.startswith("magnet")
    expected = {k: v for k, v in MUSICGEN.items() if not (masked and k.startswith(("decode.", "pattern.")))}
    for key, value in (expected | RECIPES[name]).items():
        group, _, last = key.partition(".")
        assert config[group][last] == value, key
    assert config.row == name


def parameters(dim: int, layers: int, text_dim: int, levels: int = 4, size: int = 2048) -> int:
    """Audiocraft's: 16 D^2 and three norms a layer; embeddings with a special token; heads; output norm; text."""
    blocks = layers * (16 * dim**2 + 3 * 2 * dim)
    return blocks + levels * (size + 1) * dim + levels * size * dim + 2 * dim + (text_dim + 1) * dim


def test_the_formula_gives_the_count_of_the_released_checkpoint():
    """300 tensors of facebook/musicgen-small's language model: "300M" is 420.4 million."""
    assert parameters(*SMALL[:2], TEXT_DIM) / 1e6 == pytest.approx(420.4, abs=0.05)


@pytest.mark.parametrize("name", RECIPES)
def test_number_of_parameters(recipe, name):
    """As many as audiocraft; MAGNeT has one row more, the mode's embedding."""
    dim, layers, heads = SIZES.get(name, SMALL)
    run = recipe(name)
    run.parts.encoder.dim = TEXT_DIM
    with torch.device("meta"):
        module = run.model()
    shape = module.lm.shape
    assert (shape.dim, shape.layers, shape.heads) == (dim, layers, heads)
    assert (shape.levels, shape.codebook_size, shape.text_dim) == (4, 2048, TEXT_DIM)
    assert {p.device.type for p in module.parameters()} == {"meta"}
    published = parameters(dim, layers, TEXT_DIM)
    own = 1 if name.startswith("magnet") else 0
    assert sum(p.numel() for p in module.parameters()) == published + own * dim


SHRUNKEN = (
    "model.dim=32",
    "model.layers=1",
    "model.heads=2",
    "data.seconds=2",
    "training.steps=1",
    "training.batch_size=4",
    "training.validate_every=1",
    "optimiser.warmup_steps=0",
    "trainer=auto",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.peak_flops=1e11",
)


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_of_training(recipe, tmp_path, name):
    run = recipe(name, *SHRUNKEN)
    fit(run, tmp_path / "run")
    last = read_checkpoint(tmp_path / "run" / LAST, {"0dd5"})
    assert last["global_step"] == 1
    assert (tmp_path / "run" / BEST).is_file()
    (optimiser,) = last["optimizer_states"]
    assert {tuple(group["betas"]) for group in optimiser["param_groups"]} == {(0.9, 0.95)}
    begun = run.model().state_dict()
    moved = [key for key, value in last["current_model_state"].items() if not torch.equal(value, begun[key])]
    assert len(moved) > len(begun) / 2
