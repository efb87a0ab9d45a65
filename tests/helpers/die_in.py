"""`musicbench` that dies by SIGKILL between writing a file and renaming it into place.

Arguments: the file's name, how many times it is written before, and musicbench's own arguments.
"""

import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    name, before, *arguments = sys.argv[1:]
    left, rename = [int(before)], Path.replace

    def replace(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        return rename(self, target)

    Path.replace = replace  # type: ignore[method-assign, assignment]
    sys.argv[1:] = arguments
    from musicbench import cli

    sys.exit(cli.main())
