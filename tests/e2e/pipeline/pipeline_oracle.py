"""The three services one behind the other in memory: what they must have written.

No broker, no process, no crash: :func:`streamkit.drive.drive` over each partition of the input.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from collector.raw_log import Entry
from contracts.partitioning import PARTITIONS
from contracts.wire import Codecs
from dealer_flow.pipeline import build as build_dealer_flow
from dealer_flow.settings import DealerFlowSettings
from greeks.pipeline import build as build_greeks
from greeks.settings import GreeksSettings
from normalizer.pipeline import pipeline as build_normalizer
from normalizer.settings import Settings as NormalizerSettings
from streamkit.broker import Outgoing, Record
from streamkit.drive import FEED_RECORDS, Fed, drive, output_digest, refeed
from streamkit.pipeline import Pipeline
from streamkit.settings import ServiceSettings

NOWHERE = {"bootstrap_servers": "127.0.0.1:1", "registry_url": "http://127.0.0.1:1"}
Place = tuple[str, int]
Log = Mapping[str, Sequence[Fed]]


class Written(NamedTuple):
    """What a partition holds: how many records, and their SHA-256."""

    records: int
    digest: str


Wiring = tuple[type[ServiceSettings], Callable[[Any], Pipeline]]

# As in each service's ``__main__``, in the order of the data's way.
SERVICES: Mapping[str, Wiring] = {
    "normalizer": (NormalizerSettings, lambda settings: build_normalizer(settings.venues, settings.limits())),
    "greeks": (GreeksSettings, build_greeks),
    "dealer-flow": (DealerFlowSettings, build_dealer_flow),
}


def pipelines() -> dict[str, Pipeline]:
    """Return the services' wiring with the settings they have by default."""
    return {name: build(settings(**NOWHERE)) for name, (settings, build) in SERVICES.items()}


def derived() -> tuple[str, ...]:
    """Return every topic the services write but their checkpoints: data, clocks, dead letters."""
    return tuple(topic for pipeline in pipelines().values() for topic in pipeline.writes)


def raw_logs(entries: Iterable[Entry]) -> list[dict[str, list[Fed]]]:
    """Return the raw topics of each partition as they lie in the log."""
    logs: list[dict[str, list[Fed]]] = [{} for _ in range(PARTITIONS)]
    for topic, partition, record in entries:
        fed = Fed(record.instrument or "", record, record.received_ts // 1000)
        logs[partition].setdefault(topic, []).append(fed)
    return logs


def run(raw: Log, codecs: Codecs, *, partition: int, batch: int = FEED_RECORDS) -> dict[str, list[Outgoing]]:
    """Return what all services write of one partition, by topic; none but what they wrote goes from one to the next."""
    logs: dict[str, Sequence[Fed]] = dict(raw)
    written: dict[str, list[Outgoing]] = {}
    for pipeline in pipelines().values():
        outputs = drive(pipeline, logs, codecs, partition=partition, batch=batch)
        written |= outputs
        logs |= {topic: refeed(records) for topic, records in outputs.items()}
    return written


def summary(records: Sequence[Outgoing | Record]) -> Written:
    return Written(len(records), output_digest(records))


def summaries(raw: Sequence[Log], codecs: Codecs, *, batch: int = FEED_RECORDS) -> dict[Place, Written]:
    """Return what every derived partition must hold."""
    found: dict[Place, Written] = {}
    for partition, log in enumerate(raw):
        outputs = run(log, codecs, partition=partition, batch=batch)
        found |= {(topic, partition): summary(outputs.get(topic, ())) for topic in derived()}
    return found


def differences(found: Mapping[Place, Written], wanted: Mapping[Place, Written]) -> list[str]:
    """Return a line per partition that is not what it must be: empty is equal."""
    assert found.keys() == wanted.keys()
    return [
        f"{topic}/{partition}: {found[topic, partition].records} records, wanted {written.records}"
        + (", other bytes" if found[topic, partition].digest != written.digest else "")
        for (topic, partition), written in sorted(wanted.items())
        if found[topic, partition] != written
    ]
