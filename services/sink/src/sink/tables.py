"""The table of every topic the sink reads, derived from its Avro schema and the few choices listed here."""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from contracts.generated.schemas import SCHEMAS
from contracts.topic import Topic
from contracts.topics import TOPICS
from sink.columns import Column, codec_of, columns_of

SINK = "sink"
DEADLETTERS = "sink_deadletter"  # the sink's own refusals; written by itself, not from a topic
Period = Literal["day", "month"]
PERIOD_SQL: Mapping[Period, str] = {"day": "toYYYYMMDD({})", "month": "toYYYYMM({})"}
DEDUPLICATION_WINDOW = 10_000  # blocks whose tokens a table remembers; 0, the engine's default, is none

# By what people look for rows, beyond underlying and time. Topics not listed: underlying, time.
_ORDER = {
    "market.tickers": ("underlying", "instrument", "second"),
    "market.books": ("underlying", "instrument", "second"),
    "market.trades": ("underlying", "instrument", "received_ts"),
    "market.liquidations": ("underlying", "instrument", "received_ts"),
    "market.funding": ("underlying", "instrument", "received_ts"),
    "market.instruments": ("_key", "received_ts"),
    "features.perp": ("underlying", "instrument", "second"),
    "options.greeks": ("underlying", "model", "second", "instrument"),
    "dealer.exposure": ("underlying", "greeks_model", "sign_model", "second"),
    "dealer.inventory": ("_key", "second"),
    "signals.events": ("underlying", "signal", "second"),
    "thresholds": ("_key", "computed_second"),
}
_EXPLODED = frozenset({"options.greeks"})
# Levels and alerts are what someone waits for; their inserts are not held back to gather rows.
_PROMPT = frozenset({"dealer.exposure", "alerts.events"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table.

    ``time`` is the column of event time, in ``time_unit`` units of it per second, and decides the partition. With
    ``keyed`` the topic is compacted: rows carry the record key, and a tombstone is a row with ``_tombstone`` = 1.
    ``haste`` orders topics when several wait.
    """

    name: str
    topic: str
    record: str
    columns: tuple[Column, ...]
    order_by: tuple[str, ...]
    time: str
    time_unit: int
    period: Period
    exploded: bool
    keyed: bool
    haste: Literal["prompt", "normal", "bulk"]

    @property
    def version(self) -> str:
        """Eight hex digits that change with the columns' names or types; part of every deduplication token."""
        layout = ";".join(f"{column.name} {column.wire}" for column in self.columns)
        return f"{zlib.crc32(layout.encode()):08x}"

    def ddl(self) -> str:
        """Return CREATE TABLE, without a database."""
        lines = [f"    {column.ddl()}" for column in self.columns]
        lines.append(
            "    `_inserted_ts` DateTime64(6, 'UTC') MATERIALIZED now64(6, 'UTC') CODEC(Delta, ZSTD(1)) "
            "COMMENT 'When ClickHouse wrote the row; not part of SELECT *'"
        )
        period = PERIOD_SQL[self.period].format(self._time_sql())
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name}\n(\n" + ",\n".join(lines) + "\n)\n"
            f"ENGINE = ReplacingMergeTree\nPARTITION BY (run_id, {period})\nORDER BY ({', '.join(self.order_by)})\n"
            f"SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}\n"
            f"COMMENT 'Records of {self.topic}, one row per "
            f"{'entry of a packed column' if self.exploded else 'record'}'"
        )

    def _time_sql(self) -> str:
        return f"fromUnixTimestamp64Milli({self.time}, 'UTC')" if self.time_unit == 1_000 else self.time


def table_name(topic: str) -> str:
    """Return a topic's table: ClickHouse wants no dots and no hyphens."""
    return re.sub(r"[.-]", "_", topic)


def _system(name: str, kind: str, comment: str, wire: str = "") -> Column:
    wire = wire or kind
    return Column(name=name, type=kind, wire=wire, codec=codec_of(wire), comment=comment, field=name)


_ORIGIN = (
    _system("_topic", "LowCardinality(String)", "Topic of the record, physical name", "String"),
    _system("_partition", "UInt16", "Its partition"),
    _system("_offset", "UInt64", "Its offset"),
    _system("_timestamp_ms", "Int64", "Its Kafka timestamp, ms since 1970-01-01 UTC"),
    _system("run_id", "LowCardinality(String)", "Run it belongs to; empty for the live run", "String"),
)
_ROW = _system("_row", "UInt32", "Position of the row within its record")
_KEYED = (
    _system("_key", "String", "The record key: what compaction keeps the newest of"),
    _system("_tombstone", "UInt8", "1 when the key was deleted here: all fields but the time are then null or empty"),
)
_AFTER = _system("after_offset", "Int64", "Last offset stored or refused before it in its partition, -1 for none")


def _table(topic: Topic) -> Table:
    assert topic.record is not None  # noqa: S101 - opaque topics have no sink; for the type checker
    schema = json.loads(SCHEMAS[topic.record])
    fields = [field["name"] for field in schema["fields"]]
    time, unit = _time_of(fields)
    keyed = topic.cleanup == "compact"
    order = _ORDER.get(topic.name) or (*(("underlying",) if "underlying" in fields else ()), time)
    exploded = topic.name in _EXPLODED
    columns = [
        column
        for field in schema["fields"]
        for column in columns_of(field, explode=exploded, nullable=keyed and field["name"] != time)
    ]
    columns += [*(_KEYED if keyed else ()), *_ORIGIN, *((_ROW,) if exploded else ())]
    raw = topic.name.startswith("raw.")
    return Table(
        name=table_name(topic.name),
        topic=topic.name,
        record=schema["name"],
        columns=tuple(columns),
        order_by=(*order, "run_id", "_partition", "_offset", *(("_row",) if exploded else ())),
        time=time,
        time_unit=unit,
        period="day" if raw else "month",
        exploded=exploded,
        keyed=keyed,
        haste="prompt" if topic.name in _PROMPT else "bulk" if raw else "normal",
    )


def _time_of(fields: list[str]) -> tuple[str, int]:
    """Return the field of event time and its units per second."""
    units = {"second": 1, "computed_second": 1, "received_ts": 1_000_000, "source_timestamp_ms": 1_000}
    name = next(name for name in units if name in fields)
    return name, units[name]


def _deadletters() -> Table:
    """Return the sink's own table of refusals, laid out as that of any other dead-letter topic."""
    table = _table(TOPICS["sink.deadletter"])
    return replace(table, columns=(*table.columns, _AFTER))


TABLES: Mapping[str, Table] = {name: _table(topic) for name, topic in TOPICS.items() if SINK in topic.consumers}
DEADLETTER_TABLE = _deadletters()
