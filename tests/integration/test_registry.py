"""The contract against the real broker and registry."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from confluent_kafka.schema_registry.error import SchemaRegistryError

from contracts.examples import load_examples
from contracts.generated.schemas import SCHEMAS
from contracts.provision import ProvisionError, main, provision, provision_schemas, provision_topics, topic_config
from contracts.records import Funding, Trade
from contracts.registry import Registry
from contracts.topics import MAX_RECORD_BYTES, TOPICS, physical
from contracts.wire import Codecs, WireError

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"


@pytest.fixture
def registry(stack) -> Registry:
    return Registry(stack.registry_url)


@pytest.fixture
def admin(stack, run_id: str):
    """An admin client; the topics this test's run has made are deleted after it."""
    client = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    yield client
    if own := [name for name in client.list_topics(timeout=10).topics if name.startswith(f"run-{run_id}.")]:
        for future in client.delete_topics(own).values():
            future.result()


@pytest.fixture
def own_topic(run_id: str):
    """market.trades under a name of this test's own, so that its subject has no history."""
    return replace(TOPICS["market.trades"], name=f"test-{run_id}.trades")


def _edited(change) -> dict[type, str]:
    schema = json.loads(SCHEMAS[Trade])
    change(schema["fields"])
    return {Trade: json.dumps(schema)}


def _add_fee(fields):
    fields.append({"name": "fee", "type": ["null", "double"], "default": None, "doc": "Fee, USD"})


def _retype_price(fields):
    next(field for field in fields if field["name"] == "price")["type"] = "string"


def _remove_price(fields):
    fields.remove(next(field for field in fields if field["name"] == "price"))


def _add_required(fields):
    fields.append({"name": "fee", "type": "double", "doc": "Fee, USD"})


def test_provisioning_twice_changes_nothing(stack):
    report = provision(bootstrap_servers=stack.bootstrap_servers, registry_url=stack.registry_url)
    assert (report.created, report.adjusted, report.registered) == ((), (), ())


def test_every_topic_has_the_settings_the_contract_gives_it(admin: AdminClient):
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in TOPICS])
    for resource, future in asked.items():
        have, wanted = future.result(), topic_config(TOPICS[resource.name])
        assert {key: have[key].value for key in wanted} == wanted, resource.name


def test_a_runs_topics_are_listed_with_their_partitions_when_the_job_returns(admin: AdminClient, run_id: str):
    assert len(provision_topics(admin, run_id).created) == sum(not name.startswith("raw.") for name in TOPICS)
    listed = admin.list_topics(timeout=10).topics
    assert len(listed[physical("market.trades", run_id)].partitions) == 4
    assert provision_topics(admin, run_id).created == ()


def test_a_topic_with_another_partition_count_is_refused_and_no_other_is_made(admin: AdminClient, run_id: str):
    name = physical("dealer.exposure", run_id)
    admin.create_topics([NewTopic(name, 3)])[name].result()
    deadline = time.monotonic() + 10
    while name not in admin.list_topics(timeout=10).topics and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ProvisionError, match=f"{name} has 3 partitions, not 4"):
        provision_topics(admin, run_id)
    assert [topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(f"run-{run_id}.")] == [name]


def test_records_written_with_one_client_are_read_with_another(stack, run_id: str):
    """Through the real broker, with ids of the real registry, every example of one topic."""
    writer, reader = Codecs.connect(stack.registry_url), Codecs.connect(stack.registry_url)
    records = [record for _, record in load_examples(EXAMPLES, "market.funding")]
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for record in records:
        producer.produce("market.funding", writer.encode("market.funding", record), key=run_id, partition=0)
    assert producer.flush(10) == 0
    consumer = Consumer(
        {"bootstrap.servers": stack.bootstrap_servers, "group.id": run_id, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["market.funding"])
    found = []
    try:
        while len(found) < len(records):
            message = consumer.poll(20)
            assert message is not None, "nothing came within 20 s"
            if message.key() == run_id.encode():
                found.append(reader.decode("market.funding", message.value()))
    finally:
        consumer.close()
    assert found == records


def test_a_record_of_the_largest_size_fits(stack, run_id: str):
    failed = []
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": MAX_RECORD_BYTES})
    value = b"x" * (MAX_RECORD_BYTES - 1024)
    producer.produce("signals.deadletter", value, key=run_id, on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(30) == 0
    assert failed == [None]


def test_an_id_the_registry_never_gave_is_an_error_of_the_wire(stack):
    codecs = Codecs.connect(stack.registry_url)
    with pytest.raises(WireError) as caught:
        codecs.decode("market.funding", b"\x00\x7f\xff\xff\xff" + b"\x00" * 20)
    assert caught.value.reason == "unknown_schema"


def test_a_newer_writers_schema_is_fetched_and_resolved(stack, registry: Registry, own_topic):
    """A producer of the next version writes; this version reads it without the field it does not know."""
    newer = _edited(_add_fee)[Trade]
    schema_id = registry.register(own_topic.subject, newer)
    trade = next(record for path, record in load_examples(EXAMPLES, "market.trades") if path.stem == "spot")
    codecs = Codecs.connect(stack.registry_url)
    own = codecs.encode("market.trades", trade)
    value = b"\x00" + schema_id.to_bytes(4, "big") + own[5:] + b"\x00"  # fee is the last field, and null
    assert codecs.decode("market.trades", value) == trade


def test_a_compatible_schema_becomes_the_second_version(registry: Registry, own_topic):
    topics = {own_topic.name: own_topic}
    assert provision_schemas(registry, topics).registered == (own_topic.subject,)
    assert provision_schemas(registry, topics).registered == ()
    assert provision_schemas(registry, topics, _edited(_add_fee)).registered == (own_topic.subject,)
    assert len(registry.versions(own_topic.subject)) == 2


@pytest.mark.parametrize("change", [_retype_price, _remove_price, _add_required])
def test_a_breaking_schema_is_refused_with_its_consumers_and_not_registered(registry: Registry, own_topic, change):
    topics = {own_topic.name: own_topic}
    provision_schemas(registry, topics)
    with pytest.raises(ProvisionError, match="This would break dealer-flow, signals, sink"):
        provision_schemas(registry, topics, _edited(change))
    assert len(registry.versions(own_topic.subject)) == 1


@pytest.mark.parametrize("change", [_retype_price, _add_required])
def test_the_registry_itself_refuses_what_readers_could_not_resolve(registry: Registry, own_topic, change):
    """The rule holds also for those who bypass the job."""
    provision_schemas(registry, {own_topic.name: own_topic})
    schema = _edited(change)[Trade]
    assert not registry.accepts(own_topic.subject, schema)
    with pytest.raises(SchemaRegistryError):
        registry.register(own_topic.subject, schema)


def test_the_rule_is_transitive(registry: Registry, own_topic):
    """A field that came, went and comes back with another type meets records of its first life."""
    with_fee = _edited(_add_fee)[Trade]
    registry.register(own_topic.subject, with_fee)
    registry.register(own_topic.subject, SCHEMAS[Trade])

    def other_fee(fields):
        fields.append({"name": "fee", "type": ["null", "string"], "default": None, "doc": "Fee"})

    assert not registry.accepts(own_topic.subject, _edited(other_fee)[Trade])


def test_the_command_says_what_it_did(stack, capsys):
    arguments = ["--bootstrap-servers", stack.bootstrap_servers, "--registry-url", stack.registry_url]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "0 schemas registered, 0 topics created, 0 adjusted\n"


def test_the_command_refuses_a_broker_that_is_not_there_in_one_line(stack, capsys):
    arguments = ["--bootstrap-servers", "127.0.0.1:9", "--registry-url", stack.registry_url]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("broker 127.0.0.1:9: ")


def test_one_id_serves_the_topics_that_share_a_record(stack):
    """market.clock and options.clock carry the same record; either way their values are readable."""
    codecs = Codecs.connect(stack.registry_url)
    (_, clock), *_ = load_examples(EXAMPLES, "market.clock")
    assert codecs.decode("options.clock", codecs.encode("options.clock", clock)) == clock
    assert codecs.decode("market.clock", codecs.encode("options.clock", clock)) == clock


def test_a_funding_record_is_not_read_as_a_trade(stack):
    codecs = Codecs.connect(stack.registry_url)
    (_, funding), *_ = load_examples(EXAMPLES, "market.funding")
    assert isinstance(funding, Funding)
    with pytest.raises(WireError) as caught:
        codecs.decode("market.trades", codecs.encode("market.funding", funding))
    assert caught.value.reason == "wrong_schema"
