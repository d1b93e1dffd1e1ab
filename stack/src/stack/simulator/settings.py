"""The simulator's command line."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from stack.simulator.faults import Fault, read_schedule
from stack.simulator.path import SPOTS, read_paths
from stack.simulator.recorded import RecordedChain, read_chain
from stack.simulator.world import TICK_MS, MarketSettings

MAX_OPTIONS = 20_000
MAX_RATE = 10.0
MAX_SPEED = 1000.0
MAX_ORDERS = 500.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything one run is made from; ``speed`` is market seconds per second."""

    market: MarketSettings
    faults: tuple[Fault, ...]
    port: int
    port_file: Path | None
    truth_file: Path | None
    speed: float


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)


def parse_settings(arguments: Sequence[str], now: datetime) -> Settings:
    """Return the settings; exits with code 2 and one line when they are wrong. ``now`` stands for --start-time now."""
    parser = _make_parser()
    given = parser.parse_args(arguments)
    try:
        return _settings(given, now)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}; name a file that can be read")
    except ValueError as error:
        parser.error(str(error))


def _make_parser() -> _Parser:
    parser = _Parser(prog="stack.simulator", description="A Deribit and a Binance on loopback.")
    parser.add_argument("--seed", type=int, default=7, help="decides everything that is drawn (0 or more)")
    parser.add_argument("--options", type=int, default=1000, help="options generated in all, an even number")
    parser.add_argument("--underlyings", default="BTC,ETH", help=f"comma-separated, of {', '.join(SPOTS)}")
    parser.add_argument("--updates-per-option-s", type=float, default=1.0, help=f"up to {MAX_RATE:g}")
    parser.add_argument("--option-orders-s", type=float, default=1.0, help="option orders per second and underlying")
    parser.add_argument("--start-time", default="now", help="market time at the start, ISO 8601 or now")
    parser.add_argument("--speed", type=float, default=1.0, help="market seconds per second")
    parser.add_argument("--chain", type=Path, action="append", default=[], help="recorded chain, one per underlying")
    parser.add_argument("--price-path", type=Path, help="CSV second,BTC,… to follow instead of a generated path")
    parser.add_argument("--faults", type=Path, help="JSON list of faults with the second each starts at")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="written with the port once it listens")
    parser.add_argument("--truth-file", type=Path, help="written at exit with the inventory and the ledger")
    return parser


def _settings(given: argparse.Namespace, now: datetime) -> Settings:
    underlyings = _underlyings(given.underlyings)
    chains = _chains(given.chain, underlyings)
    _range("--seed", given.seed, 0, 2**63)
    _range("--options", given.options, 2 * len(underlyings), MAX_OPTIONS)
    if given.options % 2:
        raise ValueError(f"--options is {given.options}, must be even: calls and puts come in pairs")
    _range("--updates-per-option-s", given.updates_per_option_s, 0.001, MAX_RATE)
    _range("--option-orders-s", given.option_orders_s, 0, MAX_ORDERS)
    _range("--speed", given.speed, 0.01, MAX_SPEED)
    _range("--port", given.port, 0, 65_535)
    for flag, file in (("--port-file", given.port_file), ("--truth-file", given.truth_file)):
        if file and not file.parent.is_dir():
            raise ValueError(f"{flag} is {file}, but there is no directory {file.parent}; make it first")
    market = MarketSettings(
        seed=given.seed,
        start_ms=_start_ms(given.start_time, now, chains),
        underlyings=underlyings,
        options=given.options,
        updates_per_option_s=given.updates_per_option_s,
        option_orders_s=given.option_orders_s,
        chains={chain.underlying: chain for chain in chains},
        paths=read_paths(given.price_path, underlyings) if given.price_path else {},
    )
    faults = tuple(read_schedule(given.faults)) if given.faults else ()
    return Settings(market, faults, given.port, given.port_file, given.truth_file, given.speed)


def _range(flag: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{flag} is {value}, must be between {low} and {high}")


def _underlyings(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if len(set(names)) != len(names) or not set(names) <= set(SPOTS):
        raise ValueError(f"--underlyings is {text!r}, must be different names of {', '.join(SPOTS)}")
    return names


def _chains(files: Sequence[Path], underlyings: Sequence[str]) -> list[RecordedChain]:
    chains = [read_chain(file) for file in files]
    names = [chain.underlying for chain in chains]
    if len(set(names)) != len(names) or not set(names) <= set(underlyings):
        raise ValueError(f"--chain covers {', '.join(names)}, must be one file each of {', '.join(underlyings)}")
    return chains


def _start_ms(text: str, now: datetime, chains: Sequence[RecordedChain]) -> int:
    """Return the start on the tick grid; with a recorded chain ``now`` means the moment it was taken."""
    if text == "now":
        moment_ms = max((c.taken_ms for c in chains), default=round(now.timestamp() * 1000))
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"--start-time is {text!r}, must be now or like 2026-03-02T12:00:00Z") from None
        moment_ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    for chain in chains:
        if not any(c.expiry.ts_ms > moment_ms for c in chain.contracts):
            raise ValueError(f"--start-time is {text!r}, but the chain of {chain.underlying} has expired by then")
    return moment_ms // TICK_MS * TICK_MS
