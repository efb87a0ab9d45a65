"""Say which judges, codecs, text encoders, released models, GPUs and launchers work here, and how to get the others."""

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator

from musicbench.errors import UserError
from musicbench.names import one_line
from musicbench.runs.compose import compose


def main(argv: list[str]) -> int:
    """``musicbench doctor``; overrides such as ``judges.fad.weights=FILE`` say what to look at instead."""
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    # The command reports what is here, so it downloads nothing. Libraries read this once, when they are imported.
    os.environ["HF_HUB_OFFLINE"] = "1"
    config = compose("doctor", argv, typed=True)

    from musicbench.runs.checks import checks_of

    failed = 0
    for title, checks in checks_of(config, offline.upper() in ("1", "ON", "YES", "TRUE")).items():
        print(f"{title}:")
        for name, check in checks.items():
            works, line = examine(check)
            failed += not works
            print(f"  {'works' if works else 'no':6} {name}: {line}", flush=True)
    print(
        f"{failed} of these do not work here; all but the bundled parts are optional." if failed else "All works here."
    )
    return 0


def examine(check: Callable[[], str]) -> tuple[bool, str]:
    """Return whether a check passes, and its line; any error becomes such a line too."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), _quiet():
            return True, one_line(check())
    except UserError as error:
        return False, one_line(str(error))
    except Exception as error:  # A broken installation may raise anything, and this command reports it.
        return False, one_line(f"{type(error).__name__}: {error}")[:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
