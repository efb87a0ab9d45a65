"""What a bench leaves: one JSON document of the machine and of rows, and its table."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch

from musicbench.files import atomic_path
from musicbench.processor import last_cache
from musicbench.runs.device import environment_of
from musicbench.study.markdown import markdown_grid

LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "NUMBA_CPU_NAME")
"""Variables that keep libraries from instructions which the CPU has."""


class Row(TypedDict):
    """One engine at one piece of work.

    Attributes:
        name: a pattern's or a family's; of judges, the judge's id.
        engine: ``ours``, ``plain`` (torch's own kernels), ``transformers``, or ``transformers_compiled``.
        batch: clips at once. dtype: of the numbers. shape: name of the model's sizes. frames: of a clip.
        seconds: median of ``repeats``. first_seconds: of the first time, preparations included.
        ratio_to_kernel_floor, ratio_to_memory_floor: ``seconds`` over a floor; null where that floor is undefined.
        kernel_floor_seconds, memory_floor_seconds: the floors.
        model_bytes, read_bandwidth: of the weights, and bytes a second at which an array of this size is read.
        cache_bytes: of keys and values that live at once.
        rtf: seconds for one second of audio; null where no audio comes of it.
    """

    name: str
    engine: str
    batch: int
    dtype: str
    seconds: float
    ratio_to_kernel_floor: float | None
    ratio_to_memory_floor: float | None
    rtf: float | None
    kernel_floor_seconds: float | None
    memory_floor_seconds: float | None
    repeats: list[float]
    first_seconds: NotRequired[float]
    shape: NotRequired[str]
    frames: NotRequired[int]
    levels: NotRequired[int]
    model_bytes: NotRequired[int]
    cache_bytes: NotRequired[int]
    read_bandwidth: NotRequired[float]
    flops: NotRequired[float]
    matmul_flops_per_second: NotRequired[float]
    peak_memory: NotRequired[dict[str, int]]


class Document(TypedDict):
    """Everything that one bench measured, in one process."""

    bench: str
    date: str
    git: dict[str, Any]
    machine: dict[str, Any]
    rows: list[Row]
    failures: list[str]
    settings: dict[str, Any]


def document(bench: str, device: torch.device, rows: list[Row], failures: Sequence[str], **settings: Any) -> Document:
    """Put rows beside the machine.

    Args:
        bench: the part of ``musicbench bench``.
        settings: what does not follow from the rows.
    """
    here = environment_of(device)
    limits = {name: os.environ[name] for name in LIMITS if name in os.environ}
    machine = {
        **here["machine"],
        "cache_bytes": last_cache(),
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "limits": limits,
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "bench": bench,
        "date": now,
        "git": dict(here["git"]),
        "machine": machine,
        "rows": rows,
        "failures": list(failures),
        "settings": settings,
    }


def row(
    name: str,
    engine: str,
    batch: int,
    dtype: str,
    seconds: float,
    repeats: list[float],
    *,
    kernel: float | None,
    memory: float | None,
    audio: float | None,
    **facts: Any,
) -> Row:
    """A row, with its ratios.

    Args:
        kernel, memory: the floors, seconds.
        audio: seconds of sound that all clips of the batch last together.
    """
    made = {
        "name": name,
        "engine": engine,
        "batch": batch,
        "dtype": dtype,
        "seconds": seconds,
        "ratio_to_kernel_floor": kernel and seconds / kernel,
        "ratio_to_memory_floor": memory and seconds / memory,
        "rtf": audio and seconds / audio,
        "kernel_floor_seconds": kernel,
        "memory_floor_seconds": memory,
        "repeats": repeats,
    }
    return {**made, **facts}  # type: ignore[typeddict-item, return-value]


def report(content: Document, output: str | None) -> str:
    """The table, and as the last line the whole document; it is also kept in the folder ``output``, if given."""
    kept = [f"Kept in {keep(content, Path(output))}."] if output else []
    return "\n\n".join([table(content), *kept, json.dumps(content, allow_nan=False)])


def keep(content: Document, folder: Path) -> Path:
    """Write the document into a folder; its name says what was measured, on what instruction set and when."""
    machine = content["machine"]
    place = machine["gpu"] or machine["isa"]
    stamp = content["date"][:16].replace(":", "").replace("-", "")
    name = f"{content['bench']}-{place}-{stamp}".lower().replace(" ", "_").replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


COLUMNS = (
    "shape", "name", "engine", "batch", "frames", "K", "dtype", "seconds", "kernel floor", "ratio", "memory floor",
    "ratio", "RTF",
)  # fmt: skip


def table(content: Document) -> str:
    """The document's rows as Markdown below lines about the machine, and failures below them."""
    lines = [
        [
            one.get("shape", ""),
            one["name"],
            one["engine"],
            str(one["batch"]),
            str(one.get("frames", "")),
            str(one.get("levels", "")),
            one["dtype"],
            *(
                _number(one[field])  # type: ignore[literal-required]
                for field in (
                    "seconds",
                    "kernel_floor_seconds",
                    "ratio_to_kernel_floor",
                    "memory_floor_seconds",
                    "ratio_to_memory_floor",
                    "rtf",
                )
            ),
        ]
        for one in content["rows"]
    ]
    return "\n\n".join(
        [
            machine_line(content),
            *[markdown_grid(list(COLUMNS), lines)] * bool(lines),
            *_sizes(content),
            *content["failures"],
        ]
    )


def _sizes(content: Document) -> list[str]:
    """Say of each size of weights at which speed it can be read, and whether it stays in a cache."""
    cache = content["machine"]["cache_bytes"]
    read = {one["model_bytes"]: one["read_bandwidth"] for one in content["rows"] if "read_bandwidth" in one}
    return [
        f"{size / 1e6:.3g} MB of weights are read at {speed / 1e9:.3g} GB/s"
        + (f": they fit the last cache of {cache / 1e6:.3g} MB." if cache and size <= cache else ".")
        for size, speed in sorted(read.items())
    ]


def machine_line(content: Document) -> str:
    """Who measured: one line."""
    machine = content["machine"]
    place = machine["gpu"] or f"{machine['cpu']}, {machine['isa']}"
    limits = "".join(f", {name}={value}" for name, value in machine["limits"].items())
    return f"{place}; {machine['threads']} threads of {machine['cores']} cores, torch {machine['torch']}{limits}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
