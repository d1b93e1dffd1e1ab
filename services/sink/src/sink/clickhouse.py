"""The way to ClickHouse: what is retried, what is asked again after a lost answer, what ends the process."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from sink.position import Refused
from streamkit.logs import Log

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 30  # after it an insert counts as lost, and the table is asked
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 5.0
# What passes by itself: timeouts, overload, memory, disk, read-only tables, cancelled and unknown outcomes.
PASSING = frozenset({3, 74, 75, 159, 202, 203, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 745, 999})
# Shares a code with "too many parts, wait for merges", but is a chunk cut wrongly.
_CUT_WRONGLY = "for single INSERT block"
_HTTP_STATUS = re.compile(r"HTTP status (\d{3})")

# One block, one part, one partition, seen by all when acknowledged; equal for every attempt. From 26 on tokens are
# heeded by the second of the two settings on deduplication, before by the first.
INSERT_SETTINGS: dict[str, int | str] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "max_insert_threads": 1,
    "max_partitions_per_insert_block": 1,
    "throw_on_max_partitions_per_insert_block": 1,
}


class StoreRefused(Exception):
    """ClickHouse will not take it however often it is tried; the message has its error and what to look at."""


class Stopped(Exception):
    """The process was asked to stop while it waited; what was waiting is read again at the next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """One insert: the same bytes and token at every attempt."""

    table: str
    topic: str
    partition: int
    last: int
    token: str
    body: bytes


@dataclass(slots=True)
class Counters:
    """What happened on the way, since the start."""

    inserts: int = 0
    retries: int = 0
    skipped: int = 0  # found in the table after the answer had been lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where ClickHouse is and who asks."""

    url: str
    database: str
    user: str
    password: str


def connect(address: Address, *, database: str | None = None) -> Client:
    """Return a client, safe for several threads. Raises ClickHouseError if nobody answers or knows the user."""
    return clickhouse_connect.get_client(
        dsn=address.url,
        username=address.user,
        password=address.password,
        database=database or address.database,
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=REQUEST_TIMEOUT_S,
        autogenerate_session_id=False,
        dedicated_pool=True,
    )


def passing(error: ClickHouseError) -> bool:
    """Return whether trying again can help: no answer, a server error, or one of ClickHouse's passing ones."""
    code = error.code if isinstance(error, Error) else None
    if code is not None:
        return code in PASSING and _CUT_WRONGLY not in str(error)
    status = _HTTP_STATUS.search(str(error))
    return status is None or status.group(1) >= "500"


class Store:
    """Inserts and positions, from any thread; waits as long as ClickHouse does not answer.

    ``owner`` marks this process's inserts, so that its successor can wait for the last one to end. ``stopping`` ends
    the waiting.
    """

    def __init__(self, client: Client, *, owner: str, stopping: Callable[[], bool], log: Log) -> None:
        self._client = client
        self._settings = {name: value for name, value in INSERT_SETTINGS.items() if name in client.server_settings}
        self._owner = owner
        self._stopping = stopping
        self._log = log
        self._lock = threading.Lock()
        self.counters = Counters()

    def insert(self, insert: Insert) -> None:
        """Insert, or find that an attempt whose answer was lost has done it.

        Raises StoreRefused for an error that will not pass, Stopped.
        """
        settings = {
            **self._settings,
            "wait_end_of_query": 1,  # the interface's, no setting: the status line tells how it ended
            "insert_deduplication_token": insert.token,
            "log_comment": self._owner,
        }

        def attempt(*, again: bool) -> None:
            if again and self._has_landed(insert):
                self._count(skipped=1)
                self._log.info("found_stored", token=insert.token)
                return
            # A view: a bytes body the client would repeat by itself when the connection breaks, the table not asked.
            body = cast("bytes", memoryview(insert.body))
            self._client.raw_insert(insert.table, insert_block=body, fmt="Native", settings=settings)
            self._count(inserts=1)

        self._until_done(f"insert {insert.token} into {insert.table}", attempt)

    def last_offsets(self, table: str, topic: str) -> dict[int, int]:
        """Return the last offset stored per partition of a topic."""
        sql = f"SELECT _partition, max(_offset) FROM {table} WHERE _topic = {{topic:String}} GROUP BY _partition"  # noqa: S608 - a table of ours
        return {int(partition): int(last) for partition, last in self._ask(sql, topic=topic)}

    def refused(self, table: str) -> list[Refused]:
        """Return the refused records of all topics, in the order of their offsets."""
        sql = f"SELECT _topic, _partition, _offset, after_offset FROM {table} ORDER BY _offset"  # noqa: S608 - a table of ours
        return [Refused(*row) for row in self._ask(sql)]

    def wait_for_predecessor(self) -> None:
        """Return when no insert of this owner runs any more: one that does would land behind the position read now."""
        sql = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = {owner:String}"
        while self._ask(sql, owner=self._owner)[0][0]:
            self._sleep(FIRST_WAIT_S)

    def _has_landed(self, insert: Insert) -> bool:
        where = "_topic = {topic:String} AND _partition = {partition:UInt16} AND _offset = {last:UInt64}"
        parameters = {"topic": insert.topic, "partition": insert.partition, "last": insert.last}
        found = self._client.query(f"SELECT count() FROM {insert.table} WHERE {where}", parameters=parameters)  # noqa: S608 - a table of ours
        return bool(found.result_rows[0][0])

    def _ask(self, sql: str, **parameters: Any) -> Sequence[Sequence[Any]]:
        def attempt(*, again: bool) -> Sequence[Sequence[Any]]:  # noqa: ARG001 - a question may be repeated as it is
            return self._client.query(sql, parameters=parameters).result_rows

        return self._until_done("query", attempt)

    def _until_done(self, what: str, attempt: Callable[..., T]) -> T:
        pause, again = FIRST_WAIT_S, False
        while True:
            try:
                result = attempt(again=again)
            except ClickHouseError as error:
                if not passing(error):
                    raise StoreRefused(f"{what}: {_line(error)}") from error
                if not again:
                    self._log.warning("waiting", reason="clickhouse", detail=f"{what}: {_line(error)}")
                self._count(retries=1)
            else:
                if again:
                    self._log.info("resumed", reason="clickhouse")
                return result
            self._sleep(pause)
            pause, again = min(pause * 2, LONGEST_WAIT_S), True

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._stopping():
                raise Stopped("asked to stop while ClickHouse did not answer")
            time.sleep(FIRST_WAIT_S)

    def _count(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                setattr(self.counters, name, getattr(self.counters, name) + amount)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
