"""``normalize``: recordings through the normalizer without a broker, one file of JSON lines per topic."""

import argparse
from pathlib import Path

from contracts.topics import TOPICS
from gammaflow.interface import Command

VENUES = tuple(sorted(name.removeprefix("raw.") for name in TOPICS if name.startswith("raw.")))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to read, what of it, and where to write."""
    parser.add_argument(
        "--in", dest="inputs", nargs="+", required=True, metavar="RECORDING", help="files or folders of recordings"
    )
    parser.add_argument("--out", dest="output", type=Path, required=True, help="folder for <topic>.jsonl")
    parser.add_argument("--archive", action="store_true", help="RECORDING is one archive that ./run record has written")
    parser.add_argument("--venue", action="append", choices=VENUES, help="only this one; may be repeated")
    parser.add_argument(
        "--underlyings", default="BTC,ETH", help="base assets to take of recordings, separated by commas"
    )
    parser.add_argument("--book-depth", type=int, default=50, help="levels a side of a book snapshot")


def run(args: argparse.Namespace) -> int:
    """Read, normalize, write."""
    # Imported here: no other command should wait for compiled kernels to load.
    from gammaflow import normalize_run  # noqa: PLC0415

    return normalize_run.run(args)


COMMAND = Command("normalize", "recordings to market records, one file of JSON lines per topic", add_arguments, run)
