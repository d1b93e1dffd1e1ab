"""What ``./run normalize`` does: the run loop's tasks and the normalizer's core over raw records from files.

The raw log is the one that the collector's ``file`` source writes, in its partitions; each partition is a task, exactly
as with a broker. Only the records of a second and those that wait for it are held.
"""

import argparse
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from collector.archive.playback import archived_entries, archived_files
from collector.archive.store import ArchiveError, Store
from collector.raw_log import Entry, RawLog, topic_of
from collector.recorded.catalog import NoRecordings, Recording, Selection, find_recordings
from collector.recorded.rows import RecordingError
from collector.recorded.timeline import recorded_entries
from contracts.partitioning import PARTITIONS
from contracts.wire import Codecs
from gammaflow.errors import UserError
from gammaflow.json_lines import JsonLines
from gammaflow.normalize import VENUES
from gammaflow.stack_commands import say
from normalizer.limits import Limits
from normalizer.pipeline import pipeline
from streamkit.broker import Outgoing, Record
from streamkit.deadletter import BreakerOpen
from streamkit.pipeline import Pipeline
from streamkit.task import Start, Task

_TELL_EVERY_S = 2.0
_SECOND_US = 1_000_000


def run(args: argparse.Namespace) -> int:
    """Write every topic's file; nothing is left half written if a recording cannot be read."""
    if args.book_depth < 1:
        raise UserError(f"--book-depth {args.book_depth} is too small: give 1 or more")
    codecs = Codecs.offline()
    try:
        venues, entries = _archived(args) if args.archive else _recorded(args)
        wiring = pipeline(venues, Limits(depth=args.book_depth))
        fed: Counter[str] = Counter()
        with JsonLines(args.output, wiring.writes, codecs) as files:
            for item in normalized(_told(_counted(entries, fed)), wiring, codecs):
                files.write(item)
    except (ArchiveError, BreakerOpen, NoRecordings, RecordingError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"--out {args.output}: {error}; name a folder that can be written") from error
    for name, count in (*sorted(fed.items()), *sorted(files.counts.items())):
        print(f"{count:>12,} {name}")
    return 0


def normalized(entries: Iterable[Entry], wiring: Pipeline, codecs: Codecs) -> Iterator[Outgoing]:
    """Yield what the pipeline writes, second by second, partition by partition.

    Raises UserError if a topic has no more records while others go on: its seconds would never be whole.
    """
    start = dict.fromkeys(wiring.inputs, 0)
    tasks = [Task(pipeline=wiring, partition=n, codecs=codecs, start=Start(positions=start)) for n in range(PARTITIONS)]
    for _, second in itertools.groupby(entries, key=lambda entry: entry.record.received_ts // _SECOND_US):
        _feed(tasks, second, codecs)
        for task in tasks:
            while task.advance(1, _never):
                pass
            _require_progress(task)
            yield from task.take()


def _feed(tasks: Sequence[Task], second: Iterable[Entry], codecs: Codecs) -> None:
    batches: dict[tuple[int, str], list[Record]] = {}
    for topic, partition, record in second:
        batch = batches.setdefault((partition, topic), [])
        offset = tasks[partition].fed[topic] + len(batch)
        key = record.underlying.encode() or None
        batch.append(Record(offset, key, record.received_ts // 1000, codecs.encode(topic, record)))
    for (partition, topic), batch in batches.items():
        tasks[partition].feed(topic, batch)


def _require_progress(task: Task) -> None:
    if task.congested():
        waiting = ", ".join(topic for topic, count in task.buffered().items() if not count)
        raise UserError(
            f"{waiting}: no records for so long that those of the other venues pile up; leave its venue out (--venue)"
        )


def _never() -> bool:
    return False


def _recorded(args: argparse.Namespace) -> tuple[list[str], Iterator[Entry]]:
    """Return the venues of the recordings, and the raw log that they lead to."""
    selection = Selection(
        kinds=("binance", "chain", "feed", "tardis", "trades"),
        files="*",
        venues=args.venue or VENUES,
        underlyings=tuple(name.strip() for name in args.underlyings.split(",") if name.strip()),
    )
    found = [recording for path in args.inputs for recording in find_recordings(Path(path), selection)]
    recordings = [recording for recording in found if _concerned(recording)]
    if not recordings:
        raise UserError(
            f"--underlyings {args.underlyings}: none of {len(found)} recordings speaks of them; name others"
        )
    venues = sorted({recording.venue for recording in recordings})
    return venues, recorded_entries(recordings, RawLog(venues))


def _concerned(recording: Recording) -> bool:
    if next(recording.read(), None) is not None:
        return True
    say(f"{recording.path.name}: holds nothing of {', '.join(recording.underlyings)}, left out")
    return False


def _archived(args: argparse.Namespace) -> tuple[list[str], Iterator[Entry]]:
    """Return the venues of an archive, and its raw log as it was."""
    if len(args.inputs) > 1:
        raise UserError(f"--archive takes one archive, not {len(args.inputs)}")
    store, wanted = Store(args.inputs[0]), args.venue or VENUES
    files = archived_files(store, wanted)
    present = {file.topic for file in files}
    return [venue for venue in wanted if topic_of(venue) in present], archived_entries(store, files)


def _counted(entries: Iterable[Entry], fed: Counter[str]) -> Iterator[Entry]:
    for entry in entries:
        fed[entry.topic] += 1
        yield entry


def _told(entries: Iterable[Entry], clock: Callable[[], float] = time.monotonic) -> Iterator[Entry]:
    """Say now and then how far it is."""
    due = clock() + _TELL_EVERY_S
    for count, entry in enumerate(entries):
        if count % 1000 == 0 and clock() >= due:
            due = clock() + _TELL_EVERY_S
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.record.received_ts // _SECOND_US))
            say(f"{count:,} raw records, recorded time {at}")
        yield entry
