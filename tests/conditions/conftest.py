"""Small models and spaces for the tests of conditions."""

from tests.helpers.small_clap import laion_checkpoint, roberta  # noqa: F401  (fixtures)
