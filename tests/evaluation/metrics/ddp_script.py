"""Run by ``test_twins_ddp``: two gloo processes feed every twin, each with its share of the clips.

Arguments: folder of the tests' conftest, folder for the results. Each process writes ``<rank>.json`` there: the
values of each way of sharing.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.utils.data import DistributedSampler

WORLD = 2


def share_and_compute(rank: int, folder: Path) -> None:
    from conftest import CASES, CLIPS

    meeting = f"file://{folder}/meeting"
    timeout = timedelta(seconds=60)
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD, timeout=timeout)
    padded = list(DistributedSampler(range(CLIPS), WORLD, rank, shuffle=False))
    shares = {
        "padded": [padded[:1], padded[1:]],
        "uneven": [[0, 1], [2, 3, 4, 1], [4, 5]] if rank == 0 else [[6]],
        "idle": [list(range(CLIPS))] if rank == 1 else [],
    }
    values = {"clips": sorted(padded)}
    for share, batches in shares.items():
        for name, case in CASES.items():
            metric = case.make()
            for ids in batches:
                case.feed(metric, torch.tensor(ids))
            values[f"{share} {name}"] = metric.compute().item()
            # What each process holds is its own again, and more may come. torchmetrics answers from its cache where
            # nothing came, so that all processes must have more.
            case.feed(metric, torch.tensor([rank]))
            values[f"{share} {name} again"] = metric.compute().item()
    distributed.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(values))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.path.insert(0, sys.argv[1])
    # Before the processes part: importing takes most of the time.
    import conftest  # noqa: F401

    torch.multiprocessing.start_processes(share_and_compute, (Path(sys.argv[2]),), nprocs=WORLD, start_method="fork")
