"""Ordinary arguments, whose mistakes are one line like all others."""

import argparse
from typing import NoReturn

from musicbench.errors import UserError


class Parser(argparse.ArgumentParser):
    """Without the usage before each error."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; `{self.prog} --help` says what it takes")
