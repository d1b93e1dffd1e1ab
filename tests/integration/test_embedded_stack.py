"""The real stack: it keeps what it acknowledged, refuses what it should, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from stack import embedded
from stack.embedded import Endpoints
from stack.process import free_ports, identify

pytestmark = pytest.mark.integration

LEVEL = {"type": "record", "name": "Level", "fields": [{"name": "price", "type": "double"}]}
WITH_DEFAULT = {**LEVEL, "fields": [*LEVEL["fields"], {"name": "size", "type": "double", "default": 0.0}]}
RETYPED = {**LEVEL, "fields": [{"name": "price", "type": "string"}]}
START = """
import sys
from pathlib import Path
from stack import embedded
embedded.start(Path(sys.argv[1]), print, components=("registry",))
"""


def silent(line: str) -> None:
    pass


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A directory for a stack that the test may kill parts of."""
    yield tmp_path
    embedded.stop(tmp_path)


def pids(directory: Path) -> dict[str, int]:
    return {component.name: component.pid for component in embedded.status(directory)}


def create(bootstrap_servers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)


def transact(bootstrap_servers: str, topic: str, values: list[str], *, commit: bool = True) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def read(bootstrap_servers: str, topic: str) -> list[str]:
    """Return the committed values of the topic's one partition."""
    settings = {"group.id": topic, "isolation.level": "read_committed", "enable.partition.eof": True}
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "auto.offset.reset": "error", **settings})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = []
    try:
        while (message := consumer.poll(30)) is not None:
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF
                return values
            values.append(message.value().decode())
    finally:
        consumer.close()
    pytest.fail(f"no end of {topic} within 30 s")


def ask(url: str, query: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, data=query.encode(), timeout=60) as answer:
        return str(answer.read().decode())


def schema(definition: object) -> Schema:
    return Schema(json.dumps(definition), "AVRO")


def listening(pid: int) -> set[str]:
    """Return the addresses this process listens on, as the kernel knows them."""
    sockets = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH115, PTH208
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def test_readers_see_committed_transactions_only(stack: Endpoints, run_id: str) -> None:
    create(stack.bootstrap_servers, run_id)
    transact(stack.bootstrap_servers, run_id, ["kept", "too"])
    transact(stack.bootstrap_servers, run_id, ["dropped"], commit=False)
    transact(stack.bootstrap_servers, run_id, ["last"])
    assert read(stack.bootstrap_servers, run_id) == ["kept", "too", "last"]


def test_a_topic_that_is_no_contract_does_not_appear_by_itself(stack: Endpoints, run_id: str) -> None:
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "message.timeout.ms": 3000})
    producer.produce(run_id, b"x", on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert len(errors) == 1
    assert errors[0] is not None
    assert run_id not in AdminClient({"bootstrap.servers": stack.bootstrap_servers}).list_topics(timeout=30).topics


@pytest.mark.parametrize("timestamp_ms", [1_000, 4_000_000_000_000])
def test_records_may_carry_any_event_time(stack: Endpoints, run_id: str, timestamp_ms: int) -> None:
    create(stack.bootstrap_servers, run_id)
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce(run_id, b"x", timestamp=timestamp_ms, on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert errors == [None]


def test_the_registry_refuses_a_schema_that_breaks_its_readers(stack: Endpoints, run_id: str) -> None:
    client, subject = SchemaRegistryClient({"url": stack.registry_url}), f"{run_id}-value"
    first = client.register_schema(subject, schema(LEVEL))
    client.set_compatibility(subject, level="BACKWARD_TRANSITIVE")
    assert client.test_compatibility(subject, schema(WITH_DEFAULT))
    assert client.register_schema(subject, schema(WITH_DEFAULT)) != first
    with pytest.raises(SchemaRegistryError) as error:
        client.register_schema(subject, schema(RETYPED))
    assert error.value.http_status_code == 409
    assert client.get_versions(subject) == [1, 2]


def test_nothing_listens_beyond_loopback(own: Path) -> None:
    embedded.start(own, silent)
    for component in embedded.status(own):
        assert listening(component.pid) == {"0100007F"}, component  # 127.0.0.1 as the kernel writes it


def test_a_killed_broker_comes_back_with_its_data_where_it_was(own: Path, run_id: str) -> None:
    servers = embedded.start(own, silent, components=("kafka",)).bootstrap_servers
    create(servers, run_id)
    transact(servers, run_id, ["before"])
    os.kill(pids(own)["kafka"], signal.SIGKILL)
    assert embedded.start(own, silent, components=("kafka",)).bootstrap_servers == servers
    transact(servers, run_id, ["after"])
    assert read(servers, run_id) == ["before", "after"]


def test_a_killed_registry_keeps_what_it_acknowledged(own: Path) -> None:
    url = embedded.start(own, silent, components=("registry",)).registry_url
    subject = f"{uuid.uuid4().hex}-value"
    given = SchemaRegistryClient({"url": url}).register_schema(subject, schema(LEVEL))
    os.kill(pids(own)["registry"], signal.SIGKILL)
    assert embedded.start(own, silent, components=("registry",)).registry_url == url
    found = SchemaRegistryClient({"url": url}).get_latest_version(subject)
    assert found.schema_id == given
    assert json.loads(found.schema.schema_str or "") == LEVEL


def test_a_killed_clickhouse_keeps_what_it_acknowledged(own: Path) -> None:
    url = embedded.start(own, silent, components=("clickhouse",)).clickhouse_url
    ask(url, "CREATE TABLE level (price Float64) ENGINE = MergeTree ORDER BY price")
    ask(url, "INSERT INTO level VALUES (1.5)")
    os.kill(pids(own)["clickhouse"], signal.SIGKILL)
    assert embedded.start(own, silent, components=("clickhouse",)).clickhouse_url == url
    assert ask(url, "SELECT price FROM level") == "1.5\n"


def test_a_stopped_stack_starts_elsewhere_with_its_data(own: Path, run_id: str) -> None:
    first = embedded.start(own, silent)
    before = pids(own)
    create(first.bootstrap_servers, run_id)
    transact(first.bootstrap_servers, run_id, ["kept"])
    embedded.stop(own)
    assert [name for name, pid in before.items() if identify(pid)] == []
    (port,) = free_ports(1)
    second = embedded.start(own, silent, ports={"kafka": port})
    assert second.bootstrap_servers == f"127.0.0.1:{port}"
    assert read(second.bootstrap_servers, run_id) == ["kept"]


def test_a_stack_outlives_the_command_that_started_it(own: Path) -> None:
    subprocess.run([sys.executable, "-c", START, str(own)], check=True, capture_output=True)
    assert [component.state for component in embedded.status(own)] == ["running"]
    endpoints = embedded.running(own)
    assert endpoints is not None
    assert SchemaRegistryClient({"url": endpoints.registry_url}).get_subjects() == []
