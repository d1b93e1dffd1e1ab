"""What ``schemas/topics/<name>.yaml`` says of one topic, as a value."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic of the contract, under its logical name (without a run prefix).

    ``record`` is the class of its values, None where the value is opaque bytes (checkpoints). ``retention_bytes`` is
    per partition and None on compacted topics.
    """

    name: str
    record: type[Any] | None
    description: str
    key: str
    partition_by: Literal["underlying", "task"]
    partitions: int
    cleanup: Literal["delete", "compact"]
    retention_bytes: int | None
    producers: tuple[str, ...]
    consumers: tuple[str, ...]

    @property
    def subject(self) -> str:
        """Registry subject of the value schema, by the TopicNameStrategy."""
        return f"{self.name}-value"
