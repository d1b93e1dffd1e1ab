"""The schema registry as this project uses it: by subject and id, with outages told apart from answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from contracts.errors import NotProvisioned, RegistryUnavailable

COMPATIBILITY = "BACKWARD_TRANSITIVE"
_NOT_FOUND = 404


class Registry:
    """Client of a Confluent-compatible registry. Every method raises RegistryUnavailable when it cannot be asked."""

    def __init__(self, url: str, *, timeout_s: float = 10.0, retries: int = 3) -> None:
        self._url = url
        self._client = SchemaRegistryClient(
            {
                "url": url,
                "timeout": timeout_s,
                "max.retries": retries,
                "retries.wait.ms": 200,
                "retries.max.wait.ms": 2000,
            }
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise RegistryUnavailable(f"registry {self._url} does not answer ({error}); is it up?") from error
        except SchemaRegistryError as error:
            if error.http_status_code >= 500 or error.http_status_code == 429:
                raise RegistryUnavailable(f"registry {self._url} cannot serve now: {error}") from error
            raise

    def id_of(self, subject: str, schema: str) -> int:
        """Return the id ``schema`` is registered under; raises NotProvisioned if it is not."""
        with self._asking():
            try:
                return int(self._client.lookup_schema(subject, Schema(schema, "AVRO")).schema_id or 0)
            except SchemaRegistryError as error:
                if error.http_status_code != _NOT_FOUND:
                    raise
        raise NotProvisioned(
            f"registry {self._url}: this version's schema of {subject} is not registered; "
            "run: python -m contracts.provision"
        )

    def schema_of(self, schema_id: int) -> str | None:
        """Return the schema text of an id, None if there is no such id."""
        with self._asking():
            try:
                return self._client.get_schema(schema_id).schema_str
            except SchemaRegistryError as error:
                if error.http_status_code != _NOT_FOUND:
                    raise
                return None

    def versions(self, subject: str) -> list[str]:
        """Return all registered schema texts of a subject, oldest first; empty if there is none."""
        with self._asking():
            try:
                numbers = self._client.get_versions(subject)
            except SchemaRegistryError as error:
                if error.http_status_code != _NOT_FOUND:
                    raise
                return []
            return [self._client.get_version(subject, number).schema.schema_str or "" for number in numbers]

    def accepts(self, subject: str, schema: str) -> bool:
        """Say whether the registry itself finds ``schema`` compatible with all versions of ``subject``."""
        with self._asking():
            return bool(self._client.test_compatibility_all_versions(subject, Schema(schema, "AVRO")))

    def register(self, subject: str, schema: str) -> int:
        """Register ``schema``; registering what is there already changes nothing. Returns its id."""
        with self._asking():
            return self._client.register_schema(subject, Schema(schema, "AVRO"))

    def enforce_compatibility(self) -> None:
        """Set the global rule to BACKWARD_TRANSITIVE and read it back; raises RuntimeError if it did not hold."""
        with self._asking():
            self._client.set_compatibility(level=COMPATIBILITY)
            level = self._client.get_compatibility()
        if level != COMPATIBILITY:
            raise RuntimeError(f"registry {self._url}: compatibility is {level}, not {COMPATIBILITY}, after setting it")


def same_schema(one: str, other: str) -> bool:
    """Say whether two schema texts are the same JSON, whatever their whitespace; False if one is no JSON."""
    try:
        return one == other or bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False
