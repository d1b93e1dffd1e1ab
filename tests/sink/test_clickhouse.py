"""What an insert does when the answer is an error, or does not come."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from sink import clickhouse
from sink.clickhouse import Insert, Stopped, Store, StoreRefused

PLACE = "t-1-0-9-ab"
INSERT = Insert(table="market_trades", topic="market.trades", partition=1, last=9, token=PLACE, body=b"block")
LOST = OperationalError("Error executing HTTP request")


@dataclass
class Answer:
    result_rows: list[tuple[Any, ...]]


@dataclass
class Server:
    """Answers inserts by script: an error is raised, ``landed`` says whether the rows arrived all the same."""

    script: list[tuple[Exception | None, bool]]
    landed: int = 0
    asked: int = 0
    sent: list[tuple[bytes, dict[str, Any]]] = field(default_factory=list)
    questions: list[Exception | None] = field(default_factory=list)

    @property
    def server_settings(self):
        return dict.fromkeys([*clickhouse.INSERT_SETTINGS, "max_threads"])

    def raw_insert(self, table, *, insert_block, fmt, settings):
        assert (table, fmt) == ("market_trades", "Native")
        assert not isinstance(insert_block, bytes | bytearray), "the client would repeat it by itself"
        self.sent.append((bytes(insert_block), dict(settings)))
        error, landed = self.script.pop(0)
        self.landed += landed
        if error is not None:
            raise error

    def query(self, sql, parameters):
        self.asked += 1
        error = self.questions.pop(0) if self.questions else None
        if error is not None:
            raise error
        assert parameters == {"topic": "market.trades", "partition": 1, "last": 9}
        return Answer([(self.landed,)])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(clickhouse, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(clickhouse, "LONGEST_WAIT_S", 0.004)


@pytest.fixture
def insert(log):
    def insert(server, stopping=lambda: False):
        store = Store(server, owner="sink-0", stopping=stopping, log=log)
        store.insert(INSERT)
        return store.counters

    return insert


def error(code: int) -> DatabaseError:
    return DatabaseError(f"Received ClickHouse exception, code: {code}", code=code)


def test_an_acknowledged_insert_is_sent_once_and_nothing_is_asked(insert) -> None:
    server = Server([(None, True)])
    counters = insert(server)
    assert (counters.inserts, counters.retries, counters.skipped, server.asked) == (1, 0, 0, 0)


def test_a_lost_answer_whose_rows_are_there_is_not_sent_again(insert, log) -> None:
    server = Server([(LOST, True)])
    counters = insert(server)
    assert (server.landed, len(server.sent), counters.skipped) == (1, 1, 1)
    assert ("found_stored", {"token": INSERT.token}) in log.lines


def test_a_lost_insert_is_sent_again_with_the_same_bytes_settings_and_token(insert) -> None:
    server = Server([(LOST, False), (error(252), False), (None, True)])
    counters = insert(server)
    assert (server.landed, counters.inserts, counters.retries) == (1, 1, 2)
    assert server.sent == [server.sent[0]] * 3
    assert server.sent[0][1]["insert_deduplication_token"] == INSERT.token


@pytest.mark.parametrize("code", [159, 202, 241, 242, 243, 252])
def test_errors_that_pass_are_waited_out(insert, code) -> None:
    assert insert(Server([(error(code), False), (None, True)])).inserts == 1


def test_a_gateway_that_is_down_is_waited_out(insert) -> None:
    assert insert(Server([(DatabaseError("HTTP driver received HTTP status 503"), False), (None, True)])).inserts == 1


@pytest.mark.parametrize(
    "failure",
    [
        error(60),
        error(53),
        error(516),
        DatabaseError("HTTP driver received HTTP status 404"),
        DatabaseError("code: 252, Too many partitions for single INSERT block (more than 1)", code=252),
    ],
)
def test_errors_that_will_not_pass_end_it_and_name_the_insert(insert, failure) -> None:
    with pytest.raises(StoreRefused, match=r"insert t-1-0-9-ab into market_trades: .*(code: \d+|404)"):
        insert(Server([(failure, False)]))


def test_the_table_is_asked_again_when_even_the_question_fails(insert) -> None:
    server = Server([(LOST, True)], questions=[LOST, error(241)])
    assert insert(server).skipped == 1
    assert (server.landed, server.asked) == (1, 3)


def test_a_stop_ends_the_waiting(insert) -> None:
    with pytest.raises(Stopped):
        insert(Server([(LOST, False)] * 5), stopping=lambda: True)
