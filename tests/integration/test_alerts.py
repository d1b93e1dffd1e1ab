"""alerts as a process on the real broker: a crossing, a hole, redelivery, kills, aborted records, poison, refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import confluent_kafka as ck
import pytest

from contracts.partitioning import partition_for
from contracts.provision import provision
from contracts.records import Clock, DealerExposure
from contracts.topics import physical
from contracts.wire import Codecs

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

START = 1_767_225_600
DEADLINE_S = 60.0
RULES = """
rules:
  - {type: flip_crossed, name: flip, cool_down_s: 10}
  - {type: no_data, name: silence, persistence_s: 60, cool_down_s: 100}
"""
ABOVE, BELOW, FLIP = 101_000.0, 99_000.0, 100_000.0


def exposure(at, spot):
    return DealerExposure(
        venue="deribit",
        underlying="BTC",
        second=START + at,
        received_ts=None,
        greeks_model="european",
        sign_model="naive",
        status="ok",
        reasons=(),
        spot=spot,
        n_listed=1,
        n_used=1,
        by_strike=(),
        by_expiry=(),
        profile_dynamics="sticky_strike",
        profile_spots=(),
        profile_ngi_usd_per_pct=(),
        profile_vss_usd_per_vol_point=(),
        flips=(),
        flip_status="ok",
        flip_spot=FLIP,
        quality=(),
    )


def clock(at):
    second = START + at
    return Clock(
        venue="deribit",
        underlying="BTC",
        second=second,
        received_ts=second * 1_000_000,
        skipped_seconds=0,
        input_records=1,
        rejected_records=0,
        topics=(),
    )


class Scene:
    """Topics of one test, what upstream writes to them, and what came of it."""

    def __init__(self, stack, run_id, directory):
        self.stack, self.run_id, self.directory = stack, run_id, directory
        self.codecs = Codecs.connect(stack.registry_url)
        self.lives = 0
        (directory / "rules.yaml").write_text(RULES)
        common = {"bootstrap.servers": stack.bootstrap_servers}
        self.upstream = ck.Producer({**common, "transactional.id": f"upstream-{run_id}"})
        self.upstream.init_transactions(30)
        reader = {"group.id": physical("alerts", run_id), "enable.auto.commit": False, "enable.partition.eof": True}
        self.reader = ck.Consumer({**common, **reader, "isolation.level": "read_committed"})

    def put(self, topic, records, *, commit=True):
        """Write records to the partition of BTC in one transaction, committed or aborted; bytes are written as such."""
        self.upstream.begin_transaction()
        for record in records:
            value = record if isinstance(record, bytes) else self.codecs.encode(topic, record)
            stamp = 0 if isinstance(record, bytes) else record.second * 1000
            self.upstream.produce(
                physical(topic, self.run_id), value, b"BTC", partition_for("BTC"), timestamp=max(stamp, 1)
            )
        self.upstream.flush(30)
        (self.upstream.commit_transaction if commit else self.upstream.abort_transaction)(30)

    def start(self, **settings):
        self.lives += 1
        settings = {
            "BOOTSTRAP_SERVERS": self.stack.bootstrap_servers,
            "REGISTRY_URL": self.stack.registry_url,
            "RUN_ID": self.run_id,
            "ASSIGNMENT": "0,1,2,3",
            "HEALTH_FILE": str(self.directory / "health.json"),
            "ALERTS_RULES_FILE": str(self.directory / "rules.yaml"),
            **settings,
        }
        environment = {**os.environ, **{f"GAMMAFLOW_{name}": value for name, value in settings.items()}}
        with self.log(self.lives).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "alerts"], env=environment, stdout=log, stderr=log, cwd=self.directory
            )

    @contextmanager
    def running(self, **settings):
        """A life of the service that ends by SIGTERM, with everything committed."""
        process = self.start(**settings)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, self.log(self.lives).read_text()
        finally:
            process.kill()
            process.wait()

    def log(self, life):
        return self.directory / f"life-{life}.log"

    def lines(self, life):
        text = self.log(life).read_text().splitlines()
        return [json.loads(line) for line in text if line.startswith("{")]

    def wait_until_judged(self):
        """Wait until the group has committed all that is in BTC's partitions but the transactions' markers."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            left = [self.left(topic) for topic in ("dealer.exposure", "market.clock")]
            if not any(left):
                return
            time.sleep(0.1)
        pytest.fail(f"records left: {left}; {self.log(self.lives).read_text()}")

    def left(self, topic):
        """Committed records from the group's offset on."""
        place = ck.TopicPartition(physical(topic, self.run_id), partition_for("BTC"))
        committed = self.reader.committed([place], timeout=10)[0].offset
        return len(self.records(topic, begin=max(committed, 0)))

    def records(self, topic, *, begin=0):
        """All committed records of BTC's partition from an offset on."""
        place = ck.TopicPartition(physical(topic, self.run_id), partition_for("BTC"), begin)
        self.reader.assign([place])
        found = []
        while (message := self.reader.poll(10)) is not None:
            if message.error() is None:
                found.append(message)
            elif message.error().code() == ck.KafkaError._PARTITION_EOF:
                return found
        pytest.fail(f"{place.topic}: no end in sight")

    def alerts(self):
        return [self.codecs.decode("alerts.events", message.value()) for message in self.records("alerts.events")]

    def told(self):
        return [(event.rule, event.state, event.second - START) for event in self.alerts()]


@pytest.fixture
def scene(stack, run_id, tmp_path):
    provision(bootstrap_servers=stack.bootstrap_servers, registry_url=stack.registry_url, run_id=run_id)
    found = Scene(stack, run_id, tmp_path)
    yield found
    found.reader.close()


def test_a_crossing_is_one_alert_across_clean_restarts(scene):
    with scene.running():
        scene.put("dealer.exposure", [exposure(at, ABOVE) for at in range(30)])
        scene.wait_until_judged()
    with scene.running():
        scene.put("dealer.exposure", [exposure(at, BELOW) for at in range(30, 35)])
        scene.wait_until_judged()
    with scene.running():
        scene.put("dealer.exposure", [exposure(at, BELOW) for at in range(35, 60)])
        scene.wait_until_judged()
    assert scene.told() == [("flip", "fired", 30), ("flip", "cleared", 40)]
    (message,) = scene.records("alerts.events")[:1]
    assert message.key() == b"BTC"
    assert message.timestamp()[1] == (START + 30) * 1000
    restored = [line["read_back"] for line in scene.lines(3) if line["event"] == "partition_started"]
    assert sorted(restored) == [0] * 7 + [35]
    printed = [line["message"] for life in (1, 2, 3) for line in scene.lines(life) if line["event"] == "alert_fired"]
    assert printed == [scene.alerts()[0].message]


def test_a_hole_in_the_log_is_one_alert(scene):
    scene.put("market.clock", [clock(at) for at in range(150)])
    scene.put("market.clock", [clock(at) for at in range(40_000, 40_200)])
    with scene.running():
        scene.wait_until_judged()
    assert scene.told() == [("silence", "fired", 149 + 60), ("silence", "cleared", 40_100)]


def test_records_delivered_again_give_the_same_ids_and_are_printed_once_in_a_life(scene):
    crossing = [exposure(at, ABOVE if at < 30 else BELOW) for at in range(35)]
    scene.put("dealer.exposure", [*crossing, *crossing])
    with scene.running():
        scene.wait_until_judged()
    assert scene.told() == [("flip", "fired", 30)]
    scene.reader.commit(
        offsets=[ck.TopicPartition(physical("dealer.exposure", scene.run_id), partition_for("BTC"), 0)],
        asynchronous=False,
    )
    with scene.running():
        scene.wait_until_judged()
    assert scene.told() == [("flip", "fired", 30)] * 2
    assert len({event.alert_id for event in scene.alerts()}) == 1


def test_killed_at_any_moment_it_loses_no_alert(scene):
    spots = [ABOVE if at // 15 % 2 else BELOW for at in range(600)]
    records = [exposure(at, spot) for at, spot in enumerate(spots)]
    with scene.running():
        scene.put("dealer.exposure", records[:1])
        scene.wait_until_judged()
    for life in range(3):
        process = scene.start()
        scene.put("dealer.exposure", records[1 + life * 150 : 1 + (life + 1) * 150])
        wait_for(lambda known=life: len({event.alert_id for event in scene.alerts()}) > known * 20)
        process.kill()
        process.wait()
    with scene.running():
        scene.put("dealer.exposure", records[451:])
        scene.wait_until_judged()
    fired = {second for _, state, second in scene.told() if state == "fired"}
    assert fired == set(range(15, 600, 15))


def test_records_of_aborted_transactions_are_not_seen(scene):
    scene.put("dealer.exposure", [exposure(at, ABOVE) for at in range(30)])
    scene.put("dealer.exposure", [exposure(at, BELOW) for at in range(30, 60)], commit=False)
    scene.put("dealer.exposure", [exposure(at, ABOVE) for at in range(30, 60)])
    with scene.running():
        scene.wait_until_judged()
    with scene.running():
        scene.put("dealer.exposure", [exposure(at, BELOW) for at in range(60, 62)])
        scene.wait_until_judged()
    assert scene.told() == [("flip", "fired", 60)]


def test_poison_is_a_dead_letter_and_the_rest_is_judged(scene):
    scene.put("dealer.exposure", [*(exposure(at, ABOVE) for at in range(30)), b"nonsense", exposure(30, BELOW)])
    with scene.running():
        scene.wait_until_judged()
    (message,) = scene.records("alerts.deadletter")
    note = scene.codecs.decode("alerts.deadletter", message.value())
    assert (note.service, note.reason, note.source_value, note.source_offset) == (
        "alerts",
        "bad_magic",
        b"nonsense",
        30,
    )
    assert dict(message.headers())["x-dlq-reason"] == b"bad_magic"
    assert scene.told() == [("flip", "fired", 30)]


def test_the_heartbeat_goes_on_while_nothing_comes(scene):
    with scene.running():
        health = scene.directory / "health.json"
        wait_for(lambda: health.exists() and json.loads(health.read_text())["assigned"] == [0, 1, 2, 3])
        first = json.loads(health.read_text())
        wait_for(lambda: json.loads(health.read_text())["time"] > first["time"])
        wait_for(lambda: json.loads(health.read_text())["lag"] == 0)
    assert first["service"] == "alerts"


def test_topics_that_do_not_exist_are_refused_with_the_remedy(scene):
    process = scene.start(RUN_ID="never-made")
    assert process.wait(60) == 2
    last = scene.lines(1)[-1]
    assert (last["event"], last["reason"]) == ("refused", "Refused")
    assert "contracts.provision" in last["detail"]


def test_a_bad_rule_is_refused_in_one_line(scene):
    (scene.directory / "rules.yaml").write_text("rules:\n  - {type: no_data, name: a, severity: loud}\n")
    process = scene.start()
    assert process.wait(60) == 2
    (line,) = scene.log(1).read_text().splitlines()
    assert "rule 'a', field severity: 'loud'" in line


def test_it_leaves_when_told_while_the_broker_is_away(scene):
    process = scene.start(REGISTRY_URL="http://127.0.0.1:9")
    try:
        wait_for(lambda: any(line["event"] == "waiting" for line in scene.lines(1)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
