"""Run by ``test_pool``: a pool in a process of its own, whose commands say when they overlap.

Arguments: folder, jobs at once, seconds that a command takes, names of the runs. Names before a dot are work that runs
have in common. A command says in ``said`` that it has begun, and in ``overlaps`` if another of its name is at work.
"""

import sys
from pathlib import Path

from musicbench.launch.job import Job
from musicbench.launch.locks import training_lock
from musicbench.launch.pool import Pool
from musicbench.launch.progress import progress

COMMAND = """
echo "$0" >> "$1/said"
trap 'rmdir "$1/$0/working" "$1/$3.working"; exit 130' INT
mkdir "$1/$0/working" || echo "$0" >> "$1/overlaps"
test -e "$1/$3.done" || mkdir "$1/$3.working" || echo "$3" >> "$1/overlaps"
sleep "$2" & wait $!
rmdir "$1/$0/working" "$1/$3.working"
touch "$1/$3.done" "$1/$0/result"
"""


def job(root: Path, name: str, seconds: str) -> Job:
    common = name.partition(".")[0]
    return Job(
        root / name,
        ("sh", "-c", COMMAND, name, str(root), seconds, common),
        finished=(root / name / "result").is_file,
        common=training_lock(root, common),
        common_done=(root / f"{common}.done").is_file,
    )


if __name__ == "__main__":
    root, at_once, seconds, *names = sys.argv[1:]
    jobs = [job(Path(root), name, seconds) for name in names]
    pool = Pool(jobs, [{}] * int(at_once), Path(root) / "journal.jsonl", progress(sys.stdout))
    outcome = pool.run(pause=0.02)
    print("outcome", len(outcome.done), len(outcome.skipped), len(outcome.failed), pool.interruptions)
