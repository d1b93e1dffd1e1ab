"""``implied-vol``: the vols that the prices of a CSV file imply."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gammaflow.interface import Command
from gammaflow.option_csv import FORWARD, RATE, STRIKE, Answers, BoolArray, Column, FloatArray, read, write
from pricing.implied_vol import ImpliedVolStatus, implied_vol

# A price that is not there, and an option that has expired, are for the solver to name.
COLUMNS: Final = (FORWARD, STRIKE, Column(name="tau_years"), Column(name="price", may_be_missing=True), RATE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files."""
    columns = "option_type, forward, strike, tau_years, price (discounted, in the forward's unit) and, if not 0, rate"
    parser.add_argument("--in", dest="input", type=Path, required=True, help=f"CSV: {columns}")
    parser.add_argument(
        "--out", dest="output", type=Path, required=True, help="CSV: the same rows, implied_vol, status"
    )


def run(args: argparse.Namespace) -> int:
    """Solve every row; one without a vol says why in its status."""
    table = read(args.input, COLUMNS)
    good = table.good
    write(args.output, table, solve(table.is_call[good], {name: x[good] for name, x in table.numbers.items()}))
    return 0


def solve(is_call: BoolArray, numbers: Mapping[str, FloatArray]) -> Answers:
    """Return implied vols, and for status the :class:`pricing.implied_vol.ImpliedVolStatus` in lower case."""
    solved = implied_vol(
        price=numbers["price"],
        forward=numbers["forward"],
        strike=numbers["strike"],
        tau_years=numbers["tau_years"],
        is_call=is_call,
        rate=numbers["rate"],
    )
    names = [status.name.lower() for status in ImpliedVolStatus]
    return Answers(columns={"implied_vol": solved.vol}, status=[names[code] for code in solved.status.tolist()])


COMMAND = Command("implied-vol", "the vols that the prices of a CSV file imply", add_arguments, run)
