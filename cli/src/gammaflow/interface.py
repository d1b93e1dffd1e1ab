"""What a command is."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One word after ``./run``: its help line, its arguments, and what it does; returns the exit code.

    With ``passes_on`` the arguments it does not know are not refused but handed to ``run`` as ``args.passed_on``.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    passes_on: bool = False


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Leave the parser as it is."""
    del parser
