"""Logits of a tiny seeded module of each family, held to a file: a changed layer order or initialisation is noticed.

After a change that is meant: ``python tests/generators/test_golden.py`` writes the file anew, and
``NUMERICS`` of run ids is raised.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.generators.captioned import CaptionedLM
from musicbench.generators.hybrid import HybridModel
from musicbench.generators.masked import MagnetLM
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.conditions import Conditions
from musicbench.models.masked.lm import MaskedLM

FILE = Path(__file__).with_name("golden_logits.npz")
LEVELS, FRAMES, SIZE, TEXT_DIM = 3, 8, 7, 5
MODEL = {"levels": LEVELS, "codebook_size": SIZE, "text_dim": TEXT_DIM, "dim": 16, "layers": 2, "heads": 2}
OPTIMISER = {"lr": 1e-2, "total_steps": 10}
PLAN = {"pattern": {"pattern": "stack_delay", "schedule": "block_2"}, "frames": FRAMES}


def seeded(family: str) -> CaptionedLM:
    torch.manual_seed(20)
    if family == "autoregressive":
        return AutoregressiveLM(model=MODEL, optimiser=OPTIMISER, **PLAN)
    if family == "magnet":
        return MagnetLM(model={**MODEL, "position": "rotary"}, optimiser=OPTIMISER, context=2)
    return HybridModel(model=MODEL, optimiser=OPTIMISER, context=2, **PLAN)


@torch.inference_mode()
def logits(module: CaptionedLM) -> dict[str, np.ndarray]:
    """Under the plan [B, K, T, V] and of each masked level [B, T, V], where the family has them."""
    module.eval()
    lm = module.lm
    codes_BKT = (torch.arange(2 * LEVELS * FRAMES).view(2, LEVELS, FRAMES) * 5) % SIZE
    states_BLE = torch.linspace(-1, 1, 2 * 4 * TEXT_DIM).view(2, 4, TEXT_DIM)
    mask_BL = torch.tensor([[True, True, True, False], [True, True, True, True]])
    conditions = Conditions.of_text(states_BLE, mask_BL).without(torch.tensor([False, True]))
    found = {}
    if isinstance(lm, PatternLM):
        found["plan"] = lm(codes_BKT, module.tables.tensors(FRAMES), conditions).numpy()
    if isinstance(lm, MaskedLM):
        context = lm.frame_context(conditions, FRAMES)
        for level in range(LEVELS):
            ids_BKT = codes_BKT.clone()
            ids_BKT[:, level, ::2] = SIZE
            hidden_BTD = lm.frame_hidden(ids_BKT, level, context)
            found[f"level_{level}"] = (hidden_BTD @ lm.heads_KVD[level].T).numpy()
    return found


@pytest.mark.parametrize("family", ["autoregressive", "magnet", "hybrid"])
def test_logits_are_those_of_the_file(family):
    with np.load(FILE) as saved:
        expected = {name.partition("/")[2]: saved[name] for name in saved.files if name.startswith(f"{family}/")}
    found = logits(seeded(family))
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
        assert values.std() > 0.1


@pytest.mark.parametrize("change", ["blocks", "norms", "weights"])
def test_control_a_changed_order_is_seen(change):
    module = seeded("autoregressive")
    before = logits(module)["plan"]
    transformer = module.lm.transformer
    if change == "blocks":
        transformer.blocks = torch.nn.ModuleList(reversed(transformer.blocks))
    elif change == "norms":
        transformer.out_norm = torch.nn.Identity()
    else:
        torch.manual_seed(21)
        torch.nn.init.normal_(transformer.blocks[0].qkv.weight, std=0.25)
    assert np.abs(logits(module)["plan"] - before).max() > 1e-2


if __name__ == "__main__":
    families = ("autoregressive", "magnet", "hybrid")
    np.savez(FILE, **{f"{f}/{name}": values for f in families for name, values in logits(seeded(f)).items()})
