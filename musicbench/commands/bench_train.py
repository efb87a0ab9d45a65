"""``musicbench bench train``: time training steps beside torch's own kernels, a peer and the machine's floors."""

from musicbench.bench.document import document, report
from musicbench.bench.settings import require_among, set_threads
from musicbench.bench.shapes import shape_of
from musicbench.bench.train import ENGINES, NAMES, PRECISIONS, TrainBench, precisions_here
from musicbench.runs.compose import compose
from musicbench.runs.device import device


def main(argv: list[str]) -> int:
    """Measure, print the table and, as the last line, the JSON document; overrides such as ``names=[delay]``."""
    config = compose("bench_train", argv, typed=True)
    set_threads(config.threads)
    bench = TrainBench(
        names=require_among("names", config.names, NAMES),
        engines=require_among("engines", config.engines, ENGINES),
        precisions=require_among("precisions", config.precisions or precisions_here(device()), list(PRECISIONS)),
        batch=config.batch,
        frames=config.frames,
        steps=config.steps,
        rounds=config.rounds,
        device=device(),
    )
    shapes = [shape_of(name) for name in config.shapes]
    rows = [row for shape in shapes for row in bench.rows(shape)]
    print(report(document("train", device(), rows, []), config.output))
    return 0
