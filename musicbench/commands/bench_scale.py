"""``musicbench bench scale``: time and memory of decoding against frames, clips, levels and weights."""

from musicbench.bench.decode import KERNELS, NAMES
from musicbench.bench.document import document, report
from musicbench.bench.scale import ScaleBench, points
from musicbench.bench.settings import dtype_of, require_among, set_threads
from musicbench.bench.shapes import shape_of
from musicbench.runs.compose import compose, plain
from musicbench.runs.device import device


def main(argv: list[str]) -> int:
    """Measure, print the table and, as the last line, the JSON document; overrides such as ``names=[flat]``."""
    config = compose("bench_scale", argv, typed=True)
    set_threads(config.threads)
    names = require_among("names", config.names, NAMES)
    engines = require_among("engines", config.engines, list(KERNELS))
    vary = plain(config)["vary"]
    for shape in vary["shape"]:
        shape_of(shape)
    levels = shape_of(config.shape).levels
    base = {"frames": config.frames, "batch": config.batch, "levels": levels, "shape": config.shape}
    bench = ScaleBench(config.rounds, config.seconds, config.minutes, dtype_of(config.dtype, device()), device())
    rows = list(bench.rows(points(names, engines, base, vary)))
    print(report(document("scale", device(), rows, bench.failures, base=base, vary=vary), config.output))
    return 0
