"""Networks whose weights are to be read: making random ones first would take their time and memory twice."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def without_values() -> Iterator[None]:
    """Let the parameters of modules that are made here have shapes and no memory; buffers have their values."""
    register = nn.Module.register_parameter

    def registered(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            parameter = nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = registered  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign,assignment]
