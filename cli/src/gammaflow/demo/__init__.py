"""``demo``: the whole route on this machine, from a feed to dealer levels in ClickHouse, watched live."""

import argparse
from pathlib import Path

from gammaflow.demo.run import run
from gammaflow.interface import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the data comes from and when to end."""
    parser.add_argument("--source", choices=("recorded", "live", "sim"), help="default: recorded with --path, else sim")
    parser.add_argument("--path", type=Path, help="folder of recordings (recorded)")
    parser.add_argument("--kinds", default="chain,trades", help="of chain, trades, binance: what to take (recorded)")
    parser.add_argument("--seconds", type=float, help="end after so many seconds (live, sim)")
    parser.add_argument("--once", action="store_true", help="end by itself when all data has arrived in ClickHouse")
    parser.add_argument("--options", type=int, default=1000, help="how many options the simulator lists")
    parser.add_argument("--underlyings", default="BTC,ETH", help="which underlyings (live, sim)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the simulator")


COMMAND = Command("demo", "watch dealer gamma come out of a feed (Ctrl-C stops everything)", add_arguments, run)
