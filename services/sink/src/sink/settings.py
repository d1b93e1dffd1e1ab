"""Settings of the sink, from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from contracts.topics import TOPICS
from sink.tables import TABLES
from streamkit.settings import ServiceSettings

_ALL_PARTITIONS = ",".join(map(str, range(max(TOPICS[topic].partitions for topic in TABLES))))


class Settings(ServiceSettings):
    """Every service's settings, GAMMAFLOW_CLICKHOUSE_* and GAMMAFLOW_SINK_*; those of the run loop are not used."""

    assignment: str = Field(
        default=_ALL_PARTITIONS, description="partition numbers this process reads, of every topic, such as 0,1,2,3"
    )
    clickhouse_url: str = Field(description="ClickHouse's HTTP interface, http://host:port", pattern=r"^https?://")
    clickhouse_database: str = Field(
        default="gammaflow", description="a name of letters, digits and underscores", pattern=r"^[A-Za-z_]\w{0,63}$"
    )
    clickhouse_user: str = Field(default="default", description="user name")
    clickhouse_password: SecretStr = Field(default=SecretStr(""), description="password; prefer the file")
    clickhouse_password_file: Path | None = Field(default=None, description="readable file that holds the password")
    topics: Annotated[tuple[str, ...], NoDecode] = Field(
        default=tuple(TABLES),
        validation_alias="GAMMAFLOW_SINK_TOPICS",
        description="topics to store, separated by commas, of those in docs/reference/topics.md that name sink",
    )
    flush_rows: int = Field(
        default=20_000,
        ge=1,
        le=500_000,
        validation_alias="GAMMAFLOW_SINK_FLUSH_ROWS",
        description="records of one partition that are inserted at once at most, 1 to 500000",
    )
    flush_bytes: int = Field(
        default=4 * 2**20,
        ge=2**10,
        le=64 * 2**20,
        validation_alias="GAMMAFLOW_SINK_FLUSH_BYTES",
        description="bytes of record values inserted at once, at most but for a single record, 1 KiB to 64 MiB",
    )
    flush_age_ms: int = Field(
        default=250,
        ge=1,
        le=60_000,
        validation_alias="GAMMAFLOW_SINK_FLUSH_AGE_MS",
        description="longest time a record waits for others, ms; raw topics wait four times as long, levels a tenth",
    )
    buffer_bytes: int = Field(
        default=64 * 2**20,
        ge=2**20,
        validation_alias="GAMMAFLOW_SINK_BUFFER_BYTES",
        description="record values held in memory over all topics before reading pauses, at least 1 MiB",
    )

    @field_validator("assignment")
    @classmethod
    def _numbers(cls, value: str) -> str:
        if not value.replace(",", "").isdecimal():
            raise ValueError("the sink joins no group")
        return value

    @field_validator("topics", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("topics")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [topic for topic in value if topic not in TABLES]
        if unknown or not value:
            raise ValueError(f"{', '.join(unknown) or 'none'}: no topic that names sink among its consumers")
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _one_password(self) -> "Settings":
        if self.clickhouse_password_file is not None and not self.clickhouse_password_file.is_file():
            raise ValueError(f"GAMMAFLOW_CLICKHOUSE_PASSWORD_FILE={self.clickhouse_password_file}: no such file")
        return self

    def partitions(self) -> tuple[int, ...]:
        """Return the partition numbers read, ascending."""
        return tuple(sorted(int(part) for part in self.assignment.split(",")))

    def password(self) -> str:
        """Return the password, from the file if there is one."""
        if self.clickhouse_password_file is not None:
            return self.clickhouse_password_file.read_text("utf-8").strip()
        return self.clickhouse_password.get_secret_value()
