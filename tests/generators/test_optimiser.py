"""Learning-rate schedule against its formula, and what weight decay touches."""

import math

import pytest
import torch

from musicbench.generators.optimiser import OptimiserSettings


@pytest.mark.parametrize(("warmup", "total", "final"), [(0, 10, 0.0), (5, 40, 1e-4), (1, 2, 5e-4), (99, 100, 0.0)])
def test_factor(warmup, total, final):
    lr = 1e-3
    settings = OptimiserSettings(lr=lr, total_steps=total, final_lr=final, warmup_steps=warmup)
    for step in range(total + 5):
        if step < warmup:
            wanted = lr * (step + 1) / (warmup + 1)
        else:
            done = min(1.0, (step - warmup) / (total - warmup))
            wanted = final + (lr - final) * (math.cos(math.pi * done) + 1) / 2
        assert lr * settings.factor(step) == pytest.approx(wanted, abs=1e-12)


def test_factor_rises_to_the_peak_and_falls_to_the_end():
    settings = OptimiserSettings(lr=2.0, total_steps=50, final_lr=0.5, warmup_steps=10)
    rates = [2.0 * settings.factor(step) for step in range(51)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[0] > 0
    assert rates[10] == max(rates) == 2.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[50] == pytest.approx(0.5)


@pytest.mark.parametrize(("warmup", "total"), [(10, 10), (11, 10), (-1, 10), (0, 0)])
def test_warmup_must_be_shorter_than_training(warmup, total):
    with pytest.raises(ValueError, match="warmup_steps must be below total_steps"):
        OptimiserSettings(lr=1.0, total_steps=total, warmup_steps=warmup)


def test_weight_decay_is_for_matrices_only(make_module):
    module = make_module()
    configured = module.settings.configure(module)
    decayed, exempt = configured["optimizer"].param_groups
    names = {id(p): name for name, p in module.named_parameters()}
    assert decayed["weight_decay"] == 0.1
    assert exempt["weight_decay"] == 0
    assert {p.ndim >= 2 for p in decayed["params"]} == {True}
    exempt_names = {names[id(p)] for p in exempt["params"]}
    assert "lm.conditioner.null_D" in exempt_names
    assert all("norm" in name or name.endswith(("bias", "null_D")) for name in exempt_names)
    assert len(decayed["params"]) + len(exempt["params"]) == len(names)
    assert (decayed["betas"], configured["lr_scheduler"]["interval"]) == ((0.9, 0.95), "step")


@pytest.mark.parametrize("decayed", [None, "all"])
def test_without_gradients_decay_shrinks_matrices_alone_or_everything(decayed):
    """Three AdamW steps at zero gradient are (1 - lr * decay)^3."""
    module = torch.nn.Linear(3, 2)
    settings = OptimiserSettings(lr=0.1, total_steps=1000, weight_decay=0.5, decayed=decayed)
    optimiser = settings.configure(module)["optimizer"]
    weight, bias = module.weight.detach().clone(), module.bias.detach().clone()
    for _ in range(3):
        for p in module.parameters():
            p.grad = torch.zeros_like(p)
        optimiser.step()
    torch.testing.assert_close(module.weight.detach(), weight * (1 - 0.05) ** 3)
    torch.testing.assert_close(module.bias.detach(), bias * (1 - 0.05) ** 3 if decayed else bias)
    assert bias.abs().min() > 1e-3


def test_an_unknown_choice_of_decayed_weights_is_refused():
    with pytest.raises(ValueError, match="decayed must be all, or null; got 'matrices'"):
        OptimiserSettings(lr=1.0, total_steps=10, decayed="matrices")


@pytest.mark.parametrize("betas", [[0.9], [0.9, 1.0], [-0.1, 0.9], [0.9, 0.95, 0.99]])
def test_betas_must_be_two_decays(betas):
    with pytest.raises(ValueError, match="betas must be two"):
        OptimiserSettings(lr=1.0, total_steps=10, betas=betas)
