"""``musicbench bench decode``: time decoding beside torch's own kernels, a peer and the machine's floors."""

from musicbench.bench.decode import ENGINES, NAMES, DecodeBench
from musicbench.bench.document import document, report
from musicbench.bench.settings import dtype_of, require_among, set_threads
from musicbench.bench.shapes import shape_of
from musicbench.runs.compose import compose
from musicbench.runs.device import device


def main(argv: list[str]) -> int:
    """Measure, print the table and, as the last line, the JSON document; overrides such as ``names=[delay]``."""
    config = compose("bench_decode", argv, typed=True)
    set_threads(config.threads)
    bench = DecodeBench(
        names=require_among("names", config.names, NAMES),
        engines=require_among("engines", config.engines, ENGINES),
        batches=config.batches,
        frames=config.frames,
        rounds=config.rounds,
        seconds=60 * config.minutes,
        dtype=dtype_of(config.dtype, device()),
        device=device(),
    )
    shapes = [shape_of(name) for name in config.shapes]
    rows = [row for shape in shapes for row in bench.rows(shape)]
    print(report(document("decode", device(), rows, bench.failures, products=bench.products), config.output))
    return 0
