"""Settings from the environment, checked all at once."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from contracts.topics import physical
from streamkit.loop import LoopConfig
from streamkit.transactions import CheckpointPolicy

PREFIX = "GAMMAFLOW_"
GROUP = "group"
TYPO_SIMILARITY = 0.88  # close enough that a variable nobody reads is likely meant for one that is


class ServiceSettings(BaseSettings):
    """What every service on the run loop reads from ``GAMMAFLOW_<NAME>``; services add fields of their own."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    bootstrap_servers: str = Field(description="brokers as host:port,host:port", min_length=1)
    registry_url: str = Field(
        description="schema registry, Confluent API, http://host:port/path", pattern=r"^https?://"
    )
    run_id: str = Field(default="", description="empty for the live run, else the name of a replay")
    assignment: str = Field(default=GROUP, description="'group', or partition numbers of this process such as 0,1,2,3")
    health_file: Path | None = Field(default=None, description="heartbeat file, rewritten once a second")
    metrics_host: str = Field(default="127.0.0.1", description="address the metrics port is bound to")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="port for Prometheus, 0 for none")
    log_format: Literal["json", "console"] = Field(default="json", description="json or console")
    poll_max_records: int = Field(default=500, ge=1, le=100_000, description="records taken from the client at once")
    commit_interval_ms: int = Field(default=100, ge=10, le=10_000, description="time between commits, ms")
    commit_max_records: int = Field(default=5_000, ge=1, le=1_000_000, description="records after which to commit")
    checkpoint_interval_s: float = Field(default=30.0, gt=0, description="time between checkpoints, s")
    checkpoint_max_records: int = Field(default=200_000, ge=1, description="records after which to checkpoint")
    transaction_timeout_ms: int = Field(default=30_000, ge=1_000, le=900_000, description="broker's limit, ms")
    watchdog_s: float = Field(default=15.0, gt=0, description="limit of one transactional call, s")

    @field_validator("run_id")
    @classmethod
    def _usable_in_topics(cls, value: str) -> str:
        physical("market.clock", value)
        return value

    @field_validator("assignment")
    @classmethod
    def _group_or_numbers(cls, value: str) -> str:
        parts = value.split(",")
        if value != GROUP and not (all(part.strip().isdecimal() for part in parts) and len(set(parts)) == len(parts)):
            raise ValueError("neither 'group' nor distinct partition numbers separated by commas")
        return value

    def loop_config(self) -> LoopConfig:
        """Return the settings the loop takes."""
        fixed = None if self.assignment == GROUP else tuple(int(part) for part in self.assignment.split(","))
        return LoopConfig(
            run_id=self.run_id,
            partitions=fixed,
            poll_max_records=self.poll_max_records,
            commit_interval_s=self.commit_interval_ms / 1000,
            commit_max_records=self.commit_max_records,
            checkpoints=CheckpointPolicy(
                interval_s=self.checkpoint_interval_s, max_records=self.checkpoint_max_records
            ),
        )


S = TypeVar("S", bound=BaseSettings)


class SettingsRefused(Exception):
    """The environment cannot be used; ``lines`` has one line per problem: variable, value, remedy."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        super().__init__("; ".join(self.lines))


def load(settings_type: type[S]) -> S:
    """Return the settings in the process's environment; raises SettingsRefused with every problem found."""
    fields = {_variable(settings_type, name): name for name in settings_type.model_fields}
    problems = _typos(fields)
    try:
        settings = settings_type()
    except ValidationError as error:
        problems += [_problem(settings_type, fields, detail) for detail in error.errors()]
        raise SettingsRefused(problems) from None
    except SettingsError as error:
        raise SettingsRefused([*problems, f"{error}: {error.__cause__}"]) from None
    if problems:
        raise SettingsRefused(problems)
    return settings


def _variable(settings_type: type[BaseSettings], name: str) -> str:
    alias = settings_type.model_fields[name].validation_alias
    prefix = settings_type.model_config.get("env_prefix", "")
    return alias if isinstance(alias, str) else f"{prefix}{name}".upper()


def _typos(fields: Mapping[str, str]) -> list[str]:
    """Name variables that look like a misspelt setting; other programs' variables are none of our business."""
    lines = []
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX) or variable in fields:
            continue
        close = difflib.get_close_matches(variable, fields, n=1, cutoff=TYPO_SIMILARITY)
        if close and close[0] not in os.environ:
            lines.append(f"{variable}={os.environ[variable]}: no such setting; did you mean {close[0]}?")
    return lines


def _problem(settings_type: type[BaseSettings], fields: Mapping[str, str], detail: Any) -> str:
    """Return one line for one of pydantic's errors (Any: its dict of them)."""
    if not detail["loc"]:
        return str(detail["msg"])
    where = str(detail["loc"][0])
    name = fields.get(where.upper(), where)
    described = settings_type.model_fields[name].description or "see the service's README"
    variable = _variable(settings_type, name)
    if detail["type"] == "missing":
        return f"{variable} is not set; set it to {described}"
    return f"{variable}={detail['input']}: {detail['msg']}; set it to {described}"
