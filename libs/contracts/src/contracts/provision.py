"""The job that makes broker and registry agree with ``schemas/``; run before any service, as often as one likes.

``python -m contracts.provision --bootstrap-servers … --registry-url … [--run-id …]`` checks every schema against what
is registered, refuses (exit code 2) naming the consumers that a change would break, and only then sets the registry's
rule, registers, and creates or adjusts the topics. A run id adds that replay's topics; schemas are shared by all runs.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but re-exported without __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from confluent_kafka.schema_registry.error import SchemaRegistryError

from contracts.compatibility import breaks, removed_fields
from contracts.errors import RegistryUnavailable
from contracts.generated.schemas import SCHEMAS
from contracts.registry import Registry, same_schema
from contracts.topics import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES, TOPICS, Topic, physical

_TIMEOUT_S = 10.0
_POLL_S = 0.1
_HOUR_MS = 3_600_000
_FOREVER = str(2**63 - 1)


class ProvisionError(RuntimeError):
    """Broker or registry cannot be brought in line; the message is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a provisioning changed: physical topic names and subjects."""

    created: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()
    registered: tuple[str, ...] = ()


def topic_config(topic: Topic) -> dict[str, str]:
    """Return the broker settings of ``topic``, as Kafka names them.

    Nothing is kept by age: records carry the time of the data, so a replay would be deleted as it is written. For the
    same reason the broker does not judge timestamps against its own clock.
    """
    dead_letter = topic.name.endswith(".deadletter")
    config = {
        "cleanup.policy": topic.cleanup,
        "retention.ms": "-1",
        "retention.bytes": str(-1 if topic.retention_bytes is None else topic.retention_bytes),
        "max.message.bytes": str(MAX_DEAD_LETTER_BYTES if dead_letter else MAX_RECORD_BYTES),
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": _FOREVER,
        "message.timestamp.before.max.ms": _FOREVER,
    }
    if topic.cleanup == "compact":
        # The active segment is never compacted: small ones keep what a restore has to read short.
        checkpoint = topic.record is None
        config |= {
            "segment.bytes": str((16 if checkpoint else 64) * 2**20),
            "segment.ms": str(_HOUR_MS),
            "min.cleanable.dirty.ratio": "0.05" if checkpoint else "0.1",
        }
    return config


def provision_topics(admin: AdminClient, run_id: str = "") -> Report:
    """Create the topics of ``run_id`` that are missing and adjust the settings of those that exist.

    Raises ProvisionError if one exists with another partition count (nothing is changed then), KafkaException if the
    broker cannot be asked.
    """
    wanted = {physical(name, run_id): topic for name, topic in TOPICS.items()}
    have = _existing(admin, wanted)
    missing = {name: topic for name, topic in wanted.items() if name not in have}
    _create(admin, missing)
    _await(admin, missing)
    adjusted = _adjust(admin, {name: topic_config(topic) for name, topic in wanted.items() if name in have})
    return Report(created=tuple(sorted(missing)), adjusted=adjusted)


def _existing(admin: AdminClient, wanted: Mapping[str, Topic]) -> set[str]:
    """Return the names of ``wanted`` that exist; raises ProvisionError if one has another partition count."""
    found = admin.list_topics(timeout=_TIMEOUT_S).topics
    for name, topic in wanted.items():
        count = len(found[name].partitions) if name in found else topic.partitions
        if count != topic.partitions:
            raise ProvisionError(
                f"topic {name} has {count} partitions, not {topic.partitions}: the key-to-partition map would change; "
                "delete the topic and replay into it, or use another --run-id"
            )
    return wanted.keys() & found.keys()


def _await(admin: AdminClient, created: Mapping[str, Topic]) -> None:
    """Wait until the broker lists what it says it has created: it takes a moment, and services start right after."""
    deadline = time.monotonic() + _TIMEOUT_S
    while hidden := created.keys() - _existing(admin, created):
        if time.monotonic() > deadline:
            raise ProvisionError(
                f"topic {min(hidden)} was created, but is not listed after {_TIMEOUT_S:g} s; run again"
            )
        time.sleep(_POLL_S)


def _create(admin: AdminClient, topics: Mapping[str, Topic]) -> None:
    if not topics:
        return
    # Replication -1: the broker's default, 1 on a laptop, 3 in a cluster.
    new = [NewTopic(name, t.partitions, replication_factor=-1, config=topic_config(t)) for name, t in topics.items()]
    for future in admin.create_topics(new, operation_timeout=_TIMEOUT_S).values():
        try:
            future.result()
        except KafkaException as error:
            # Another run of the job was faster; what it made is checked like all that exist.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _adjust(admin: AdminClient, wanted: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    if not wanted:
        return ()
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in wanted])
    changes = []
    for resource, future in asked.items():
        have = future.result()
        differing = {k: v for k, v in wanted[resource.name].items() if k not in have or have[k].value != v}
        if differing:
            entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in differing.items()]
            changes.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=entries))
    if changes:
        for future in admin.incremental_alter_configs(changes).values():
            future.result()
    return tuple(sorted(resource.name for resource in changes))


def refusals(*, schema: str, registered: Iterable[str]) -> list[str]:
    """Return why ``schema`` may not follow the ``registered`` versions of its subject, a clause each.

    Stricter than BACKWARD_TRANSITIVE, which lets fields vanish: a consumer still reads them.
    """
    new = json.loads(schema)
    found: dict[str, None] = {}  # a dict, for its order: transitive checks repeat themselves
    for text in registered:
        old = json.loads(text)
        found |= dict.fromkeys(breaks(reader=new, writer=old))
        found |= {f"{field} is removed": None for field in removed_fields(reader=new, writer=old)}
    return list(found)


def provision_schemas(
    registry: Registry, topics: Mapping[str, Topic] = TOPICS, schemas: Mapping[type, str] = SCHEMAS
) -> Report:
    """Check all subjects, then enforce the registry's rule and register what is new.

    Raises ProvisionError, before anything is changed, if a schema would break consumers; RegistryUnavailable if the
    registry cannot be asked.
    """
    new: dict[str, str] = {}
    for topic in topics.values():
        if topic.record is None:
            continue
        schema, registered = schemas[topic.record], registry.versions(topic.subject)
        if any(same_schema(schema, text) for text in registered):
            continue
        problems = refusals(schema=schema, registered=registered)
        if not problems and registered and not registry.accepts(topic.subject, schema):
            problems = ["the registry finds it incompatible with an earlier version"]
        if problems:
            raise ProvisionError(
                f"{topic.subject}: {'; '.join(problems)}. This would break {', '.join(topic.consumers) or 'readers'}: "
                "add a new field with a default instead, or a new topic"
            )
        new[topic.subject] = schema
    registry.enforce_compatibility()
    for subject, schema in new.items():
        registry.register(subject, schema)
    return Report(registered=tuple(sorted(new)))


def provision(*, bootstrap_servers: str, registry_url: str, run_id: str = "") -> Report:
    """Bring registry and broker in line with the contract. Raises ProvisionError in one line for whatever is wrong."""
    try:
        schemas = provision_schemas(Registry(registry_url))
        admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 3})
        topics = provision_topics(admin, run_id)
    except (RegistryUnavailable, SchemaRegistryError) as error:
        raise ProvisionError(str(error)) from error
    except KafkaException as error:
        raise ProvisionError(
            f"broker {bootstrap_servers}: {error.args[0].str()}; is it up, and the address right?"
        ) from error
    return Report(created=topics.created, adjusted=topics.adjusted, registered=schemas.registered)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 in line, 2 refused or not reachable."""
    parser = argparse.ArgumentParser(prog="python -m contracts.provision", description=__doc__)
    parser.add_argument("--bootstrap-servers", required=True, help="Kafka, host:port")
    parser.add_argument("--registry-url", required=True, help="Confluent-compatible registry")
    parser.add_argument("--run-id", default="", help="also create the topics of this replay run")
    options = parser.parse_args(arguments)
    try:
        report = provision(
            bootstrap_servers=options.bootstrap_servers, registry_url=options.registry_url, run_id=options.run_id
        )
    except (ProvisionError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(
        f"{len(report.registered)} schemas registered, {len(report.created)} topics created, "
        f"{len(report.adjusted)} adjusted\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
