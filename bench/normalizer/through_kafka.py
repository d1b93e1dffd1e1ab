"""The whole service on a broker: raw topic to 1 s books and their clock, exactly once, as it runs in production."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.normalizer.workload import PARTITION, TOPIC, VENUE, Workload
from bench.stream.machine import Others, cpu_seconds
from bench.stream.topics import PRODUCER
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from contracts.provision import provision
from contracts.records import Clock
from contracts.topics import physical
from contracts.wire import Codecs
from stack.embedded import Endpoints

START_S: Final = 90.0
DRAIN_S: Final = 300.0
FIRST_BURST_S: Final = 0.2
"""Two commit intervals: what was worked on before the first output could be seen is not counted."""
_SECOND_US: Final = 1_000_000
_BATCH: Final = 500


class Failed(Exception):
    """No figure: the service died, stalled, or counted something else than it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """``records`` raw records became closed seconds in ``seconds`` of wall clock, ``cpu_us`` of the service each.

    ``others`` is the share of the machine that neither service nor broker nor this process used meanwhile.
    """

    records: int
    seconds: float
    cpu_us: float | None
    others: float | None

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds


def drain(
    workload: Workload, endpoints: Endpoints, *, run_id: str, passes: int, log: Path, brokers: Sequence[int]
) -> Drained:
    """Write the workload ``passes`` times, one after the other in time, and time the service. Raises Failed.

    ``brokers`` are the process ids of broker and registry.
    """
    provision(bootstrap_servers=endpoints.bootstrap_servers, registry_url=endpoints.registry_url, run_id=run_id)
    codecs = Codecs.connect(endpoints.registry_url)
    expected = _fill(workload, endpoints, codecs, run_id, passes)
    with log.open("wb") as out:
        service = subprocess.Popen(
            [sys.executable, "-m", "normalizer"], env=_environment(endpoints, run_id), stdout=out, stderr=out
        )
    try:
        return _watch(service, endpoints, codecs=codecs, run_id=run_id, expected=expected, brokers=brokers)
    except Failed as error:
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-2:]
        raise Failed(f"{error}; its log ends: {' / '.join(tail)}") from None
    finally:
        service.terminate()
        service.wait(30.0)


def _fill(workload: Workload, endpoints: Endpoints, codecs: Codecs, run_id: str, passes: int) -> int:
    """Write the raw records; return how many the clocks must count: all but heartbeats."""
    producer = Producer({"bootstrap.servers": endpoints.bootstrap_servers, **PRODUCER})
    topic, counted = physical(TOPIC, run_id), 0
    records = [entry.record for entry in workload.entries]
    period_us = ((records[-1].received_ts - records[0].received_ts) // _SECOND_US + 2) * _SECOND_US
    for number in range(passes):
        for record in records:
            later = replace(record, received_ts=record.received_ts + number * period_us)
            value, at_ms = codecs.encode(TOPIC, later), later.received_ts // 1000
            while True:
                try:
                    producer.produce(topic, value, b"BTC", PARTITION, None, None, at_ms)
                    break
                except BufferError:
                    producer.poll(0.1)
            counted += record.kind != "heartbeat"
        producer.flush(60.0)
    return counted


def _environment(endpoints: Endpoints, run_id: str) -> dict[str, str]:
    return {
        **os.environ,
        "GAMMAFLOW_BOOTSTRAP_SERVERS": endpoints.bootstrap_servers,
        "GAMMAFLOW_REGISTRY_URL": endpoints.registry_url,
        "GAMMAFLOW_RUN_ID": run_id,
        "GAMMAFLOW_ASSIGNMENT": str(PARTITION),
        "GAMMAFLOW_NORMALIZER_VENUES": VENUE,
    }


def _watch(
    service: "subprocess.Popen[bytes]",
    endpoints: Endpoints,
    *,
    codecs: Codecs,
    run_id: str,
    expected: int,
    brokers: Sequence[int],
) -> Drained:
    seen: list[tuple[float, int]] = []  # when a closed second became visible, what it counts
    cpu_before: float | None = None
    meter = Others([service.pid, *brokers])
    for at, clock in _clocks(endpoints, codecs, run_id, service):
        if not seen:
            cpu_before = cpu_seconds(service.pid)
            meter = Others([service.pid, *brokers])
        seen.append((at, clock.input_records))
        if clock.rejected_records:
            raise Failed(f"{clock.rejected_records} records refused in second {clock.second}")
        if sum(count for _, count in seen) >= expected:
            break
    cpu_after, others = cpu_seconds(service.pid), meter.share()
    if (total := sum(count for _, count in seen)) != expected:
        raise Failed(f"{total:,} of {expected:,} records in closed seconds")
    began, ended = seen[0][0], seen[-1][0]
    records = sum(count for at, count in seen if at > began + FIRST_BURST_S)
    if not records:
        raise Failed("all was drained within one burst: give it more passes")
    known = cpu_before is not None and cpu_after is not None
    return Drained(
        records=records,
        seconds=ended - began,
        others=others,
        cpu_us=((cpu_after or 0.0) - (cpu_before or 0.0)) / records * 1e6 if known else None,
    )


def _clocks(
    endpoints: Endpoints, codecs: Codecs, run_id: str, service: "subprocess.Popen[bytes]"
) -> Iterator[tuple[float, Clock]]:
    """Yield closed seconds as a read_committed reader sees them, until the service dies or the time is over."""
    config: dict[str, Any] = {
        "bootstrap.servers": endpoints.bootstrap_servers,
        "group.id": "unused-by-readers",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 10,
    }
    client, deadline = Consumer(config), time.monotonic() + START_S
    client.assign([TopicPartition(physical("market.clock", run_id), PARTITION, 0)])
    try:
        while time.monotonic() < deadline and service.poll() is None:
            for message in client.consume(_BATCH, 0.01):
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                deadline = max(deadline, time.monotonic() + DRAIN_S)
                yield time.monotonic(), codecs.decode("market.clock", message.value() or b"")
    finally:
        client.close()
