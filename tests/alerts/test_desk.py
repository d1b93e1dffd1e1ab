"""The desk with a broker in memory: what is written, once, in order, and what stops it."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from alerts.desk import Desk, Outside
from alerts.telemetry import Telemetry
from contracts.errors import RegistryUnavailable
from contracts.partitioning import partition_for
from contracts.wire import Codecs
from streamkit.broker import Record, TopicPartition
from streamkit.deadletter import RUN_REFUSED_MAX, BreakerOpen
from streamkit.metrics import Metrics

EXPOSURES, CLOCKS = TopicPartition("dealer.exposure", 2), TopicPartition("market.clock", 2)


class Lines:
    """A log that keeps its lines."""

    def __init__(self):
        self.lines = []

    def info(self, event, **fields):
        self.lines.append((event, fields))

    warning = error = info


class Broker:
    """Takes what is written and holds what is read back; ``down`` fails every write."""

    def __init__(self):
        self.written = []
        self.past = {}
        self.down = False

    async def write(self, partition, outgoing):
        await asyncio.sleep(0)
        if self.down:
            raise ConnectionError("down")
        self.written.append((partition, outgoing))

    def read_back(self, place):
        return iter(self.past.get(place, ()))


@dataclass
class Kit:
    """A desk's surroundings, which outlive it; ``desk()`` is what a start of the process makes."""

    rules: tuple
    health_file: Path
    broker: Broker = field(default_factory=Broker)
    log: Lines = field(default_factory=Lines)
    metrics: Metrics = field(default_factory=lambda: Metrics("alerts"))
    codecs: Codecs = field(default_factory=Codecs.offline)
    now: float = 1_000.0

    def __post_init__(self):
        self.telemetry = Telemetry(self.log, self.metrics, self.health_file)

    def desk(self, *, live=True):
        outside = Outside(
            codecs=self.codecs,
            write=self.broker.write,
            read_back=self.broker.read_back,
            telemetry=self.telemetry,
            now=lambda: self.now,
        )
        return Desk(self.rules, outside, remember=100, live=live)

    def written(self, topic="alerts.events"):
        """The records written to a topic, decoded."""
        return [self.codecs.decode(topic, out.value) for _, out in self.broker.written if out.topic == topic]

    def told(self, event):
        """The fields of every line of this name."""
        return [fields for name, fields in self.log.lines if name == event]


@pytest.fixture
def kit(flip_rule, silence_rule, tmp_path):
    return Kit((flip_rule, silence_rule), tmp_path / "health.json")


@pytest.fixture
def logged(kit):
    """logged(topic, records): them as they lie in the log, offsets from 0."""

    def encode(topic, records):
        return [
            Record(offset, record.underlying.encode(), record.second * 1000, kit.codecs.encode(topic, record))
            for offset, record in enumerate(records)
        ]

    return encode


@pytest.fixture
def crossing(exposure, logged):
    """Twenty seconds above the flip, five below it."""
    return logged("dealer.exposure", [exposure(at, 101_000.0 if at < 20 else 99_000.0) for at in range(25)])


def work(desk, place, records):
    async def take():
        for record in records:
            await desk.take(place, record)

    asyncio.run(take())


def test_an_alert_is_written_to_its_underlyings_partition_at_its_second(kit, crossing, start):
    work(kit.desk(), EXPOSURES, crossing)
    ((partition, outgoing),) = kit.broker.written
    assert partition == partition_for("BTC")
    assert (outgoing.topic, outgoing.key) == ("alerts.events", b"BTC")
    assert outgoing.timestamp_ms == (start + 20) * 1000


def test_an_alert_is_printed_as_one_readable_line(kit, crossing):
    work(kit.desk(), EXPOSURES, crossing)
    (event,), (line,) = kit.written(), kit.told("alert_fired")
    assert (line["alert_id"], line["message"]) == (event.alert_id, event.message)


def test_records_delivered_again_do_not_alert_again(kit, crossing):
    work(kit.desk(), EXPOSURES, [*crossing, *crossing])
    assert len(kit.broker.written) == 1


def test_after_a_restart_the_same_records_give_the_same_id(kit, crossing):
    for _ in range(2):
        work(kit.desk(), EXPOSURES, crossing)
    ids = [event.alert_id for event in kit.written()]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_reading_back_restores_what_was_known(kit, crossing):
    kit.broker.past[EXPOSURES] = crossing[:20]
    work(kit.desk(), EXPOSURES, crossing[20:])
    assert len(kit.broker.written) == 1


def test_what_is_read_back_alerts_of_nothing_again(kit, crossing):
    kit.broker.past[EXPOSURES] = crossing
    work(kit.desk(), EXPOSURES, crossing[24:])
    assert kit.broker.written == []


def test_without_reading_back_a_crossing_after_the_restart_would_be_missed(kit, crossing):
    work(kit.desk(), EXPOSURES, crossing[20:])
    assert kit.broker.written == []


def test_a_rebalance_forgets_and_restores(kit, crossing):
    desk = kit.desk()
    kit.broker.past[EXPOSURES] = crossing[:20]

    async def scene():
        desk.assign([EXPOSURES])
        assert desk.assigned == {2}
        await desk.take(EXPOSURES, crossing[20])
        desk.revoke()
        assert desk.assigned == set()
        desk.assign([EXPOSURES])
        for record in crossing[20:]:
            await desk.take(EXPOSURES, record)

    asyncio.run(scene())
    assert len(kit.broker.written) == 1


def test_what_cannot_be_decoded_is_a_dead_letter_and_the_next_record_is_judged(kit, crossing):
    poison = [Record(7, b"BTC", 5_000, b"nonsense"), Record(8, b"BTC", 5_000, None)]
    work(kit.desk(), EXPOSURES, [*crossing[:10], *poison, *crossing[10:]])
    notes = kit.written("alerts.deadletter")
    assert [(note.reason, note.source_offset, note.source_value) for note in notes] == [
        ("bad_magic", 7, b"nonsense"),
        ("truncated", 8, None),
    ]
    partition, outgoing = kit.broker.written[0]
    assert (partition, dict(outgoing.headers)["x-dlq-reason"]) == (2, b"bad_magic")
    assert [line["reason"] for line in kit.told("dead_letter")] == ["bad_magic", "truncated"]
    assert len(kit.written()) == 1


def test_poison_that_is_read_back_is_passed_over(kit, crossing):
    kit.broker.past[EXPOSURES] = [*crossing[:10], Record(7, b"BTC", 5_000, b"nonsense"), *crossing[10:20]]
    work(kit.desk(), EXPOSURES, crossing[20:])
    assert [outgoing.topic for _, outgoing in kit.broker.written] == ["alerts.events"]


def test_too_much_poison_stops_the_service(kit):
    poison = [Record(offset, b"BTC", 5_000, b"nonsense") for offset in range(RUN_REFUSED_MAX)]
    with pytest.raises(BreakerOpen):
        work(kit.desk(), EXPOSURES, poison)


def test_an_alert_that_was_not_written_counts_as_not_given_out(kit, crossing):
    desk = kit.desk()
    kit.broker.down = True
    with pytest.raises(ConnectionError):
        work(desk, EXPOSURES, crossing)
    assert kit.told("alert_fired") == []
    kit.broker.down = False
    work(kit.desk(), EXPOSURES, crossing)
    assert len(kit.told("alert_fired")) == 1


def test_a_registry_that_is_away_is_waited_for(kit, crossing, monkeypatch):
    answers = iter([RegistryUnavailable("away"), RegistryUnavailable("away")])
    decode = kit.codecs.decode

    def flaky(topic, value):
        answer = next(answers, None)
        if answer is not None:
            raise answer
        return decode(topic, value)

    desk = kit.desk()
    monkeypatch.setattr(kit.codecs, "decode", flaky)
    monkeypatch.setattr("alerts.desk.REGISTRY_RETRY_S", 0.0)
    work(desk, EXPOSURES, crossing)
    assert len(kit.broker.written) == 1
    assert len(kit.told("waiting")) == 2


@pytest.mark.parametrize(("live", "alerts"), [(True, 1), (False, 0)])
def test_a_clock_that_stops_is_told_of_in_the_live_run_only(kit, clock, logged, live, alerts):
    desk = kit.desk(live=live)

    async def scene():
        for record in logged("market.clock", [clock(at) for at in range(150)]):
            await desk.take(CLOCKS, record)
        await desk.tick()
        assert kit.broker.written == []
        kit.now += 61.0
        await desk.tick()
        await desk.tick()

    asyncio.run(scene())
    assert len(kit.broker.written) == alerts


def test_a_clock_that_had_stopped_before_the_restart_is_told_of(kit, clock, logged):
    kit.broker.past[CLOCKS] = logged("market.clock", [clock(at) for at in range(150)])
    desk = kit.desk()

    async def scene():
        desk.assign([CLOCKS])
        while not kit.told("partition_started"):
            await asyncio.sleep(0.01)
        kit.now += 61.0
        await desk.tick()

    asyncio.run(scene())
    assert [event.rule for event in kit.written()] == ["silence"]


def test_reading_back_that_fails_is_told_by_the_next_beat(kit, monkeypatch):
    def broken(place):
        raise ConnectionError(place.topic)

    monkeypatch.setattr(kit.broker, "read_back", broken)
    desk = kit.desk()

    async def scene():
        desk.assign([CLOCKS])
        for _ in range(500):
            await desk.tick()
            await asyncio.sleep(0.01)

    with pytest.raises(ConnectionError):
        asyncio.run(scene())


def test_a_record_that_is_stuck_shows(kit, crossing):
    desk, begun = kit.desk(), asyncio.Event()

    async def never(_partition, _outgoing):
        begun.set()
        await asyncio.Event().wait()

    kit.broker.write = never
    desk = kit.desk()

    async def scene():
        async def take():
            for record in crossing:
                await desk.take(EXPOSURES, record)

        stuck = asyncio.create_task(take())
        await begun.wait()
        kit.now += 40.0
        assert desk.busy_s() == 40.0
        stuck.cancel()

    assert desk.busy_s() == 0.0
    asyncio.run(scene())


def test_figures(kit, crossing, start):
    work(kit.desk(), EXPOSURES, crossing)
    figure = kit.metrics.registry.get_sample_value
    place = {"service": "alerts", "partition": "2"}
    assert figure("gammaflow_alerts_total", {"service": "alerts", "rule": "flip", "state": "fired"}) == 1
    assert figure("gammaflow_records_total", place) == 25
    assert figure("gammaflow_watermark_second", place) == start + 24


def test_the_heartbeat_says_what_the_demo_reads(kit):
    kit.telemetry.beat("running", {2, 0}, 7)
    beat = json.loads(kit.health_file.read_text())
    assert (beat["service"], beat["state"], beat["assigned"], beat["lag"]) == ("alerts", "running", [0, 2], 7)
