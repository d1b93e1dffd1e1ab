"""Figures as Markdown: the same text goes to the terminal and into docs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.normalizer.in_memory import Figure
from bench.normalizer.through_kafka import Drained

OURS = "normalizer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of the contenders: books and prints in memory; the service on a broker. ``notes`` say which figure is missing.

    ``others`` is the share of the machine that other programs used while the figures in memory were taken.
    """

    books: Mapping[str, Figure]
    prints: Mapping[str, Figure]
    service: Mapping[str, Drained]
    notes: Sequence[str]
    others: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under what the figures were taken; ``levels`` is the mean of a depth message."""

    machine: str
    commit: str
    command: str
    date: str
    levels: float
    passes: int


def tables(measured: Measured, conditions: Conditions) -> str:
    """Return both tables with their targets."""
    parts = [
        "## In memory",
        _verdict("BTCUSDT depth@0ms ≥ 45,000 messages/s", measured.books.get(OURS), 45_000),
        _verdict("trades ≥ 150,000/s", measured.prints.get(OURS), 150_000),
        "",
        f"Depth: {conditions.levels:.0f} levels a message. Other programs used {_share(measured.others)} of all cores.",
        "",
        *_figures("depth messages", measured.books),
        "",
        *_figures("trades", measured.prints),
        "",
        "## Through Kafka",
        _verdict("BTCUSDT depth@0ms ≥ 25,000 messages/s", measured.service.get("depth"), 25_000),
        "",
        "| raw records | per second | CPU of the service, µs each | records counted | other programs used |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {found.rate:,.0f} | {_cpu(found.cpu_us)} | {found.records:,} | {_share(found.others)} |"
            for name, found in measured.service.items()
        ),
    ]
    if measured.notes:
        parts += ["", *(f"* No figure: {note}" for note in measured.notes)]
    return "\n".join(parts)


def page(measured: Measured, conditions: Conditions) -> str:
    """Return the whole page."""
    return "\n\n".join(
        (
            "# Benchmark: the normalizer and its peers",
            f"Written by `{conditions.command}` on {conditions.date} at commit {conditions.commit}.",
            f"Machine: {conditions.machine}.",
            tables(measured, conditions),
            _METHOD.format(passes=conditions.passes),
        )
    )


def _verdict(asked: str, found: Figure | Drained | None, limit: float) -> str:
    if found is None:
        return f"* Target {asked}: no figure."
    return f"* Target {asked}: {found.rate:,.0f}/s, {'met' if found.rate >= limit else '**missed**'}."


def _figures(what: str, figures: Mapping[str, Figure]) -> list[str]:
    ours = figures[OURS].rate
    lines = [f"| {what} | per second | normalizer is | final book |", "|---|---:|---:|---|"]
    for name, figure in figures.items():
        same = "–" if figure.book is None else "the same" if figure.book == figures[OURS].book else "**another**"
        lines.append(f"| {name} | {figure.rate:,.0f} | {ours / figure.rate:.2f}× as fast | {same} |")
    return lines


def _cpu(cpu_us: float | None) -> str:
    return "not known" if cpu_us is None else f"{cpu_us:.1f}"


def _share(others: float | None) -> str:
    return "an unknown share" if others is None else f"{others:.0%}"


_METHOD = """\
## Method

* Input is the recorded Binance USDⓈ-M feed of BTCUSDT: its depth messages with their REST snapshot, or its trades,
  as bytes in memory. A figure in memory is messages over the processor time of the fastest of several runs, after one
  that is not counted: one core, whatever else runs on the machine.
* The normalizer does what it does in production but for decoding the raw record and encoding its outputs: sequence
  checks, accounting of every message, flags, at the end of each recorded second a book of 50 levels a side with band
  sums over the full depth, a ticker, and the close.
* `orjson + dicts` parses each frame and keeps prices and sizes as floats in two dicts, without any check; for trades it
  makes a tuple. cryptofeed gets the frames through its `message_handler`, tardis-dev through its mapper and its
  `OrderBook`. None of the peers makes 1 s books here.
* Every contender's final book is compared level by level, by digest.
* Through Kafka: the depth messages {passes} times over, one after the other in recorded time, wait in the raw topic;
  the service reads them and writes books, tickers and the clock in transactions, every 100 ms, with its checkpoints,
  to an embedded broker on the same machine. Counted are the raw records in the seconds whose close a read_committed
  reader has seen, by the wall clock, but for what the first transactions held.
* Peers are not dependencies of this repository. They are installed into environments made for the run; one that
  cannot be had has a note instead of a figure.
"""
