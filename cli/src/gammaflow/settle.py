"""``settle``: where a settlement average stands, and what settlement to an average does to greeks."""

import argparse
import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gammaflow import settle_effect
from gammaflow.errors import UserError
from gammaflow.interface import Command
from gammaflow.settle_prints import Prints, moment_us, read_prints
from pricing.asian.averaging import DERIBIT_WINDOW_MINUTES
from pricing.asian.fixings import SettlementAverage, settlement_average

DERIBIT_COUNTS: Final = (450, 300)
"""One fixing every 4 s or every 6 s: Deribit's documents say both."""
_CENT: Final = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two parts: the average of one expiry from index prints, and the table of the effect."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="part")
    average = parts.add_parser(
        "average",
        help="the running average of one expiry from a CSV of index prints",
        description="Fixings known and to come, running average, estimated delivery price; checked against the "
        "delivery price where it is given. A fixing is the newest print at or before its time.",
    )
    average.add_argument(
        "--in", dest="input", type=Path, required=True, help="CSV: timestamp (ISO 8601 or epoch), price"
    )
    average.add_argument("--expiry", required=True, help="end of the window, ISO 8601, like 2026-01-16T08:00:00Z")
    average.add_argument("--now", help="ISO 8601; default: the last print, or expiry if that comes first")
    average.add_argument("--window-minutes", type=float, default=DERIBIT_WINDOW_MINUTES, help="default: %(default)g")
    average.add_argument("--fixings", type=int, nargs="+", default=list(DERIBIT_COUNTS), help="default: 450 300")
    average.add_argument("--vol", type=float, default=0.5, help="of the index, for ±1 sd; default: %(default)g")
    average.add_argument("--max-age-s", type=float, default=60.0, help="of the print of a fixing; default: %(default)g")
    average.add_argument("--delivery-price", type=float, help="what the venue settled at: which count fits it?")
    effect = parts.add_parser(
        "effect",
        help="the table of greeks, average over European, from 7 days to 1 minute",
        description="With --write or --check the table and the picture in docs/ are renewed or compared.",
    )
    settle_effect.add_arguments(effect)


def run(args: argparse.Namespace) -> int:
    """Print the part that was asked for; 1 if a check failed."""
    return settle_effect.run(args) if args.part == "effect" else _average(args)


def _average(args: argparse.Namespace) -> int:
    expiry_us = _moment("--expiry", args.expiry)
    prints = read_prints(args.input)
    now_us = _moment("--now", args.now) if args.now else min(int(prints.timestamps_us[-1]), expiry_us)
    try:
        averages = [_one(args, prints, count, expiry_us, min(now_us, expiry_us)) for count in args.fixings]
    except ValueError as error:
        raise UserError(f"{args.input}: {error}") from error
    print(f"{_iso(now_us)}, expiry {_iso(expiry_us)}, window of {args.window_minutes:g} minutes")
    print("\n".join(_lines(averages, args.delivery_price, args.vol)))
    return 0


def _one(args: argparse.Namespace, prints: Prints, count: int, expiry_us: int, now_us: int) -> SettlementAverage:
    return settlement_average(
        prints.timestamps_us,
        prints.prices,
        expiry_us=expiry_us,
        now_us=now_us,
        window_minutes=args.window_minutes,
        n_fixings=count,
        vol=args.vol,
        max_age_s=args.max_age_s,
    )


def _lines(averages: Sequence[SettlementAverage], delivery_price: float | None, vol: float) -> list[str]:
    """Return the table, a line per count of fixings, and the verdict."""
    heads = ["fixings", "known", "to come", "no price", "average", "last", "estimate", f"±1 sd at {vol:.0%}"]
    if delivery_price is not None:
        heads += ["− delivery", "bp"]
    lines = ["  ".join(f"{head:>12}" for head in heads)]
    for each in averages:
        counts = [each.n_fixings, each.n_past, each.n_left, each.n_without_price]
        prices = [each.average, each.last_price, each.estimate, each.standard_deviation]
        cells = [f"{count:>12d}" for count in counts] + [_price(price) for price in prices]
        if delivery_price is not None:
            cells += [_price(each.estimate - delivery_price), _price(1e4 * (each.estimate / delivery_price - 1))]
        lines.append("  ".join(cells))
    return [*lines, *_verdict(averages, delivery_price)]


def _verdict(averages: Sequence[SettlementAverage], delivery_price: float | None) -> list[str]:
    if delivery_price is None:
        return []
    if any(each.n_left or each.n_without_price for each in averages):
        return ["delivery price not checked: not all fixings have a price"]
    nearest = min(averages, key=lambda each: abs(each.estimate - delivery_price))
    apart = abs(nearest.estimate - delivery_price)
    if apart <= _CENT:
        return [f"{nearest.n_fixings} fixings give the delivery price to the cent"]
    nearest_text = f"nearest is {nearest.n_fixings} fixings, {apart:,.2f} away"
    return [f"no count gives the delivery price; {nearest_text}: the record or the window is not the venue's"]


def _price(value: float) -> str:
    return f"{'-' if math.isnan(value) else format(value, ',.2f'):>12}"


def _moment(option: str, text: str) -> int:
    try:
        return moment_us(text)
    except ValueError:
        raise UserError(f"{option} {text!r} is not a time: write it like 2026-01-16T08:00:00Z") from None


def _iso(time_us: int) -> str:
    return dt.datetime.fromtimestamp(time_us / 1e6, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


COMMAND = Command("settle", "settlement averages: from index prints, and their effect on greeks", add_arguments, run)
