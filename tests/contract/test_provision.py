"""The provisioning job: idempotent, and it changes nothing when it has something to refuse."""

import json
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from contracts.generated.schemas import SCHEMAS
from contracts.provision import ProvisionError, main, provision_schemas, provision_topics, topic_config
from contracts.records import Trade
from contracts.topics import TOPICS

TRADE_TOPIC = {"market.trades": TOPICS["market.trades"]}


def done(value=None) -> Future:
    future: Future = Future()
    future.set_result(value)
    return future


class FakeAdmin:
    """A broker's topics: partitions and settings by name. ``lag`` listings after a creation do not show it yet."""

    def __init__(self, *, lag: int = 0):
        self.lag = lag
        self.hidden: set[str] = set()
        self.topics: dict[str, tuple[int, dict[str, str]]] = {}
        self.changes = 0

    def list_topics(self, timeout: float):
        shown = {name: count for name, (count, _) in self.topics.items() if name not in self.hidden}
        if self.hidden:
            self.lag -= 1
            self.hidden = self.hidden if self.lag > 0 else set()
        return SimpleNamespace(topics={n: SimpleNamespace(partitions=range(count)) for n, count in shown.items()})

    def create_topics(self, new, operation_timeout: float):
        answers = {}
        for topic in new:
            if topic.topic in self.topics:
                answers[topic.topic] = Future()
                answers[topic.topic].set_exception(KafkaException(KafkaError(KafkaError.TOPIC_ALREADY_EXISTS)))
                continue
            self.changes += 1
            self.topics[topic.topic] = (topic.num_partitions, dict(topic.config))
            self.hidden |= {topic.topic} if self.lag else set()
            answers[topic.topic] = done()
        return answers

    def describe_configs(self, resources):
        def answer(name: str):
            return {key: SimpleNamespace(value=value) for key, value in self.topics[name][1].items()}

        return {resource: done(answer(resource.name)) for resource in resources}

    def incremental_alter_configs(self, resources):
        self.changes += len(resources)
        for resource in resources:
            entries = {entry.name: entry.value for entry in resource.incremental_configs}
            self.topics[resource.name][1].update(entries)
        return {resource: done() for resource in resources}


class FakeRegistry:
    """Subjects with their versions; ``strict`` says no to every change, as a registry with another opinion would."""

    def __init__(self, *, strict: bool = False):
        self.subjects: dict[str, list[str]] = {}
        self.enforced = False
        self.strict = strict

    def versions(self, subject: str) -> list[str]:
        return self.subjects.get(subject, [])

    def accepts(self, subject: str, schema: str) -> bool:
        return not self.strict

    def register(self, subject: str, schema: str) -> int:
        assert self.enforced, "registered before the rule was set"
        self.subjects.setdefault(subject, []).append(schema)
        return len(self.subjects)

    def enforce_compatibility(self) -> None:
        self.enforced = True


def edited(change) -> dict[type, str]:
    schema = json.loads(SCHEMAS[Trade])
    change(schema["fields"])
    return {Trade: json.dumps(schema)}


def field(fields: list[dict], name: str) -> dict:
    return next(item for item in fields if item["name"] == name)


# Topics


def test_all_topics_are_created_with_the_contracts_settings():
    admin = FakeAdmin()
    report = provision_topics(admin)
    assert set(report.created) == set(TOPICS) == set(admin.topics)
    assert {count for count, _ in admin.topics.values()} == {4}


def test_a_second_run_changes_nothing():
    admin = FakeAdmin()
    provision_topics(admin)
    admin.changes = 0
    report = provision_topics(admin)
    assert (report.created, report.adjusted, admin.changes) == ((), (), 0)


def test_the_job_waits_until_the_broker_lists_what_it_created():
    admin = FakeAdmin(lag=3)
    provision_topics(admin)
    assert set(admin.list_topics(1.0).topics) == set(TOPICS)


def test_topics_made_meanwhile_by_another_run_of_the_job_are_no_error():
    admin = FakeAdmin()
    provision_topics(admin)
    admin.hidden, admin.lag = {"market.trades", "market.books"}, 1
    provision_topics(admin)
    assert admin.changes == len(TOPICS)


def test_topics_made_meanwhile_with_another_partition_count_are_refused():
    admin = FakeAdmin()
    provision_topics(admin)
    admin.topics["market.trades"] = (3, {})
    admin.hidden, admin.lag = {"market.trades"}, 1
    with pytest.raises(ProvisionError, match=r"market\.trades has 3 partitions"):
        provision_topics(admin)


def test_a_setting_that_drifted_is_put_right_and_the_others_are_left():
    admin = FakeAdmin()
    provision_topics(admin)
    admin.topics["market.trades"][1].update({"retention.ms": "604800000", "min.insync.replicas": "2"})
    assert provision_topics(admin).adjusted == ("market.trades",)
    settings = admin.topics["market.trades"][1]
    assert (settings["retention.ms"], settings["min.insync.replicas"]) == ("-1", "2")


def test_another_partition_count_is_refused_before_anything_is_created():
    admin = FakeAdmin()
    admin.topics["market.trades"] = (3, {})
    with pytest.raises(ProvisionError, match=r"market\.trades has 3 partitions, not 4.*--run-id"):
        provision_topics(admin)
    assert set(admin.topics) == {"market.trades"}


def test_a_run_gets_topics_of_its_own_and_shares_the_raw_ones():
    admin = FakeAdmin()
    created = provision_topics(admin, "r7").created
    assert "run-r7.market.trades" in created
    assert "raw.deribit" in created
    assert "market.trades" not in created
    assert len(created) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_nothing_is_deleted_by_age_or_refused_by_the_brokers_clock(topic):
    config = topic_config(topic)
    assert config["retention.ms"] == "-1"
    assert config["message.timestamp.type"] == "CreateTime"
    assert int(config["message.timestamp.after.max.ms"]) == 2**63 - 1


def test_a_dead_letter_has_room_for_the_largest_record():
    limits = {name: int(topic_config(topic)["max.message.bytes"]) for name, topic in TOPICS.items()}
    letters = {name: limit for name, limit in limits.items() if name.endswith(".deadletter")}
    assert min(letters.values()) > max(limit for name, limit in limits.items() if name not in letters)


def test_checkpoints_are_compacted_in_small_segments():
    config = topic_config(TOPICS["normalizer.checkpoint"])
    assert config["cleanup.policy"] == "compact"
    assert config["segment.bytes"] == str(16 * 2**20)
    assert float(config["min.cleanable.dirty.ratio"]) <= 0.1
    assert config["retention.bytes"] == "-1"


# Schemas


def test_every_subject_is_registered_once():
    registry = FakeRegistry()
    report = provision_schemas(registry)
    assert set(report.registered) == {topic.subject for topic in TOPICS.values() if topic.record}
    assert provision_schemas(registry).registered == ()
    assert {len(versions) for versions in registry.subjects.values()} == {1}


def test_a_new_field_with_a_default_becomes_a_second_version():
    registry = FakeRegistry()
    provision_schemas(registry)
    new = edited(lambda fields: fields.append({"name": "fee", "type": ["null", "double"], "default": None}))
    assert provision_schemas(registry, TRADE_TOPIC, new).registered == ("market.trades-value",)
    assert len(registry.subjects["market.trades-value"]) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda fields: fields.remove(field(fields, "price")), "Trade.price is removed"),
        (lambda fields: fields.remove(field(fields, "iv")), "Trade.iv is removed"),
        (lambda fields: field(fields, "price").update(type="string"), "Trade.price changes from double to string"),
        (lambda fields: fields.append({"name": "fee", "type": "double"}), "Trade.fee is new and has no default"),
    ],
)
def test_a_breaking_change_names_field_and_consumers_and_changes_nothing(change, says: str):
    registry = FakeRegistry()
    provision_schemas(registry)
    before = json.dumps(registry.subjects)
    with pytest.raises(ProvisionError) as refused:
        provision_schemas(registry, TRADE_TOPIC, edited(change))
    assert str(refused.value).startswith(f"market.trades-value: {says}. This would break dealer-flow, signals, sink:")
    assert json.dumps(registry.subjects) == before


def test_all_earlier_versions_count_not_only_the_newest():
    """A field that came and went, with another type, would break readers of the first records."""
    registry = FakeRegistry()
    first = edited(lambda fields: fields.append({"name": "fee", "type": ["null", "double"], "default": None}))
    registry.subjects["market.trades-value"] = [first[Trade], SCHEMAS[Trade]]
    third = edited(lambda fields: fields.append({"name": "fee", "type": ["null", "string"], "default": None}))
    with pytest.raises(ProvisionError, match=r"Trade\.fee no longer takes double"):
        provision_schemas(registry, TRADE_TOPIC, third)


def test_the_registrys_own_refusal_counts_too():
    registry = FakeRegistry(strict=True)
    registry.subjects["market.trades-value"] = [SCHEMAS[Trade]]
    new = edited(lambda fields: fields.append({"name": "fee", "type": ["null", "double"], "default": None}))
    with pytest.raises(ProvisionError, match="the registry finds it incompatible"):
        provision_schemas(registry, TRADE_TOPIC, new)


# The command


def test_an_unreachable_registry_is_one_line_and_exit_code_2(unused_port: int, capsys):
    address = f"127.0.0.1:{unused_port}"
    assert main(["--bootstrap-servers", address, "--registry-url", f"http://{address}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert address in said
