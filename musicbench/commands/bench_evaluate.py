"""``musicbench bench evaluate``: measure how fast the judges are on this machine."""

from typing import Any

from musicbench.bench.document import document, report
from musicbench.bench.judges import judge_row, measure_judge, noise
from musicbench.bench.settings import set_threads
from musicbench.evaluation.judge_set import JudgeSet
from musicbench.evaluation.judges.base import Judge, WindowedJudge
from musicbench.runs.compose import compose, instantiated
from musicbench.runs.device import device


def main(argv: list[str]) -> int:
    """Time every judge of the configured set and print the table; overrides such as ``clips=4``."""
    config = compose("bench_evaluate", argv, typed=True)
    set_threads(config.threads)
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
    rows = [
        judge_row(speed, engine, repeats, config.clips, config.seconds)
        for speed in speeds
        for engine, repeats in (("ours", speed.anew), ("cached", speed.cached))
    ]
    print(report(document("evaluate", device(), rows, failures), config.output))
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
        f"{config.clips} clips of {config.seconds:g} s at {config.sample_rate} Hz; the kernel floor is the time of the "
        "networks' products and convolutions, were they as fast as the fastest float32 product of "
        f"{config.matrix} rows in the same process.\n"
    )
