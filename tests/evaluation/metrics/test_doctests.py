"""The examples in the docstrings of the metrics run, and every public metric has one."""

import doctest
import importlib
import pkgutil

import pytest

import musicbench.evaluation.metrics as package

MODULES = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
WITH_EXAMPLES = {
    "clap_score": {"clap_score"},
    "fad_infinity": {"fad_infinity"},
    "frechet": {"frechet_distance", "frechet_audio_distance"},
    "kad": {"kernel_audio_distance"},
    "kld": {"class_probabilities", "kl_divergence"},
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
    found = {test.name.removeprefix(f"{name}.") for test in doctest.DocTestFinder().find(module) if test.examples}
    assert found == WITH_EXAMPLES.get(name.rsplit(".", 1)[1], set())
