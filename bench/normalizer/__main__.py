"""``python -m bench.normalizer``: books and prints in memory beside peers, and the whole service on a broker."""

import argparse
import datetime as dt
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import orjson
from bench.normalizer import in_memory, peers, through_kafka
from bench.normalizer.in_memory import Figure
from bench.normalizer.report import OURS, Conditions, Measured, page, tables
from bench.normalizer.through_kafka import Drained
from bench.normalizer.workload import Workload, recorded
from bench.stream import machine
from bench.stream.roster import ROOT

from collector.recorded.catalog import NoRecordings
from stack import embedded
from stack.errors import StackError

PAGE: Final = ROOT / "docs" / "reference" / "bench-normalizer.md"
DATA: Final = ROOT.parent / "shared" / "data" / "binance"
PACKAGES: Final = ("orjson", "numba", "confluent-kafka")


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write the page; returns 0, 1 if a figure is missing, 2 without recordings."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started here is ended
    try:
        depth, trades = recorded(options.data, "depthUpdate"), recorded(options.data, "trade")
    except NoRecordings as error:
        _say(f"--data: {error}")
        return 2
    measured = _measured(options, depth, trades)
    conditions = Conditions(
        machine=machine.description(PACKAGES),
        commit=machine.commit(),
        command=" ".join(["./run bench normalizer", *arguments]),
        date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        levels=_levels(depth),
        passes=options.passes,
    )
    print(tables(measured, conditions))
    if options.output is not None:
        options.output.write_text(page(measured, conditions), encoding="utf-8")
    return 1 if measured.notes else 0


def _measured(options: argparse.Namespace, depth: Workload, trades: Workload) -> Measured:
    notes: list[str] = []
    meter = machine.Others(())
    with tempfile.TemporaryDirectory(prefix="gammaflow-bench-", ignore_cleanup_errors=True) as home:
        directory = Path(home)
        books = _books(depth, directory, options.repeat, notes)
        _say("trades in memory")
        prints = {
            OURS: in_memory.normalizer(trades, options.repeat),
            "orjson + tuple": in_memory.plain_trades(trades.messages, options.repeat),
        }
        others = meter.share()
        service = {} if options.in_memory else _service(depth, directory, options, notes)
    return Measured(books=books, prints=prints, service=service, notes=notes, others=others)


def _books(depth: Workload, directory: Path, repeats: int, notes: list[str]) -> dict[str, Figure]:
    feed, path = depth.book_feed(), directory / "feed"
    path.write_bytes(b"".join(line + b"\n" for line in feed))
    contenders: dict[str, Callable[[], Figure]] = {
        OURS: lambda: in_memory.normalizer(depth, repeats),
        "orjson + dicts": lambda: in_memory.plain_book(feed, repeats),
        "tardis-dev": lambda: peers.tardis(path, directory, repeats),
        "cryptofeed": lambda: peers.cryptofeed(path, directory, repeats),
    }
    found = {}
    for name, measure in contenders.items():
        _say(f"depth in memory: {name}")
        try:
            found[name] = measure()
        except peers.NoFigure as error:
            notes.append(f"{name}: {error}")
    return found


def _service(depth: Workload, directory: Path, options: argparse.Namespace, notes: list[str]) -> dict[str, Drained]:
    _say("depth through Kafka")
    home = directory / "stack"
    best: Drained | None = None
    try:
        endpoints = embedded.start(home, _say, components=("kafka", "registry"), die_with_starter=True)
        brokers = [status.pid for status in embedded.status(home)]
        for number in range(options.drains):
            log = directory / f"normalizer-{number}.log"
            found = through_kafka.drain(
                depth, endpoints, run_id=f"bench{number}", passes=options.passes, log=log, brokers=brokers
            )
            best = found if best is None or found.rate > best.rate else best
    except (StackError, through_kafka.Failed) as error:
        notes.append(f"through Kafka: {error}")
    finally:
        embedded.stop(home)
    return {} if best is None else {"depth": best}


def _levels(depth: Workload) -> float:
    counts = [len(data["b"]) + len(data["a"]) for data in (orjson.loads(m)["data"] for m in depth.messages)]
    return sum(counts) / len(counts)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench normalizer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run; no page unless --output is given")
    parser.add_argument("--in-memory", action="store_true", help="without the broker; no page unless --output is given")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the recordings")
    parser.add_argument("--repeat", type=int, help="runs of each contender in memory")
    parser.add_argument("--passes", type=int, help="how often the recording is written to the raw topic")
    parser.add_argument("--drains", type=int, help="runs through Kafka; the fastest counts")
    parser.add_argument("--output", type=Path, help="page to write; default: docs/reference/bench-normalizer.md")
    quick = "--quick" in arguments
    smoke = quick or "--in-memory" in arguments
    parser.set_defaults(
        repeat=2 if quick else 7, passes=4 if quick else 16, drains=1 if quick else 3, output=None if smoke else PAGE
    )
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
