"""``surface``: volatility surface of a chain as JSON, with a certificate per expiry and optionally a picture."""

import argparse
from pathlib import Path

from gammaflow.interface import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files, filters, and which snapshot or underlying to take."""
    parser.add_argument(
        "--in",
        dest="input",
        required=True,
        help="get_book_summary_by_currency JSON or a recorded chain CSV (.csv, .gz, .xz, or archive.tar.xz/member.csv)",
    )
    parser.add_argument("--out", dest="output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--plot", type=Path, help="picture of the smiles to write (.png, .svg or .pdf)")
    parser.add_argument("--underlying", help="only this one, e.g. BTC (default: all in the file)")
    parser.add_argument("--at", help="snapshot of a file with several, e.g. 2026-01-23T05 (default: the last)")
    parser.add_argument(
        "--max-age-s", type=float, help="leave out quotes older than this against the newest row (default: any age)"
    )
    parser.add_argument("--min-size", type=float, default=0.0, help="leave out quotes smaller than this (contracts)")


def run(args: argparse.Namespace) -> int:
    """Read, fit, write."""
    # Imported here: no other command should wait for compiled kernels to load.
    from gammaflow import surface_run  # noqa: PLC0415

    return surface_run.run(args)


COMMAND = Command("surface", "fit the volatility surface of an option chain", add_arguments, run)
