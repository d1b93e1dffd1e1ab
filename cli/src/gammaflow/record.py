"""``record``: raw topics into an archive that the collector's ``file`` source plays back, byte for byte."""

import argparse
import os
import signal
from types import FrameType

from collector.archive.recorder import Recorded, record
from collector.archive.store import ArchiveError, Store
from contracts.errors import NotProvisioned, RegistryUnavailable
from contracts.topics import TOPICS
from contracts.wire import Codecs
from gammaflow import paths
from gammaflow.errors import UserError
from gammaflow.interface import Command
from gammaflow.stack_commands import say
from stack import embedded

MIB = 1024 * 1024
RAW_TOPICS = tuple(sorted(topic for topic in TOPICS if topic.startswith("raw.")))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and what of it."""
    parser.add_argument("archive", help="a folder, or any fsspec URL (s3://bucket/prefix needs the package s3fs)")
    parser.add_argument("--topic", action="append", choices=RAW_TOPICS, help="only this one; may be repeated")
    parser.add_argument("--max-mib", type=int, default=256, help="a file is closed at this size, or with its hour")
    parser.add_argument("--until-end", action="store_true", help="stop where the topics end now")


def run(args: argparse.Namespace) -> int:
    """Record until interrupted; every file finished is a line, and the next call goes on where the last one is."""
    if args.max_mib < 1:
        raise UserError(f"--max-mib {args.max_mib} is too small: give 1 or more")
    bootstrap_servers, registry_url = _addresses()
    stopping = _Stop()
    say(f"recording into {args.archive}; Ctrl-C ends it in good order")
    try:
        count = record(
            Store(args.archive),
            bootstrap_servers=bootstrap_servers,
            codecs=Codecs.connect(registry_url),
            topics=args.topic or RAW_TOPICS,
            max_bytes=args.max_mib * MIB,
            until_end=args.until_end,
            stopped=lambda: stopping.came,
            finished=_tell,
            warn=say,
        )
    except (ArchiveError, NotProvisioned, RegistryUnavailable) as error:
        raise UserError(str(error)) from error
    say(f"{count:,} records added to the archive; the same command goes on from here")
    return 0


class _Stop:
    """Remembers that SIGTERM or SIGINT came: files begun are finished first."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True


def _addresses() -> tuple[str, str]:
    """Return broker and registry: those of the environment, else those of the stack that runs here."""
    named = os.environ.get("GAMMAFLOW_BOOTSTRAP_SERVERS"), os.environ.get("GAMMAFLOW_REGISTRY_URL")
    if named[0] and named[1]:
        return named[0], named[1]
    endpoints = embedded.running(paths.current())
    if endpoints is None:
        raise UserError(
            "the stack is not running: ./run up starts it, or name another by GAMMAFLOW_BOOTSTRAP_SERVERS and "
            "GAMMAFLOW_REGISTRY_URL"
        )
    return endpoints.bootstrap_servers, endpoints.registry_url


def _tell(file: Recorded) -> None:
    print(f"{file.records:>12,} records {file.size_bytes:>14,} bytes  {file.name}", flush=True)


COMMAND = Command("record", "raw topics into an archive of files that can be played back", add_arguments, run)
