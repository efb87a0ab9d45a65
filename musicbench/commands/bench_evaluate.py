"""``musicbench bench evaluate``: measure how fast the judges are on this machine."""

from collections.abc import Sequence
from typing import Any

import torch

from musicbench.evaluation.judge_set import JudgeSet
from musicbench.evaluation.judges.base import Judge, WindowedJudge
from musicbench.runs.compose import compose, instantiated
from musicbench.runs.device import device
from musicbench.speed.judge_bench import JudgeSpeed, measure_judge, noise
from musicbench.study.markdown import markdown_grid

HEADER = [
    "judge",
    "windows/clip",
    "GFLOP/clip",
    "clips/s",
    "clips/s cached",
    "GFLOP/s",
    "GFLOP/s of matmul",
    "share",
]


def main(argv: list[str]) -> int:
    """Time every judge of the configured set and print the table; overrides such as ``clips=4``."""
    config = compose("bench_evaluate", argv, typed=True)
    clips = noise(config.clips, config.seconds, config.sample_rate)
    roles = {role: config.judges[role] for role in ("fad", "kld", "clap") if config.judges[role] is not None}
    judges = distinct(JudgeSet(**{role: instantiated("judges", part, device=device()) for role, part in roles.items()}))
    speeds = [
        measure_judge(judge, clips, config.sample_rate, config.repeats, config.matrix)
        for judge in judges
        if isinstance(judge, WindowedJudge)
    ]
    untimed = [judge.id for judge in judges if not isinstance(judge, WindowedJudge)]
    failures = [f"Not timed, being no WindowedJudge: {', '.join(untimed)}."] * (len(untimed) > 0)
    print(introduction(config))
    print(report(document("evaluate", device(), judge_rows(speeds, config.clips), failures), config.output))
    return 0


def distinct(judges: JudgeSet) -> list[Judge]:
    """Return each judge of the set once, whatever its roles."""
    found: dict[tuple[str, str], Judge] = {}
    for judge in judges.roles.values():
        found.setdefault((judge.id, judge.sha256), judge)
    return list(found.values())


def introduction(config: Any) -> str:
    """Say what was measured, and what the floor is."""
    return (
        f"{config.clips} clips of {config.seconds:g} s at {config.sample_rate} Hz; the kernel floor is the time that the "
        f"network's products and convolutions take at the speed of a float32 product of {config.matrix} x "
        f"{config.matrix} matrices in the same process.\n"
    )
