"""The health file, and what a scrape of the metrics sees."""

import json
import socket
import urllib.request

import pytest

from sink.clickhouse import Counters
from sink.lane import Lane, Limits
from sink.reporting import PortTaken, Reporter
from sink.storing import Stored
from sink.tables import TABLES
from streamkit.broker import TopicPartition


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def lane(record):
    lane = Lane(TopicPartition("market.trades", 2), TABLES["market.trades"], Limits(rows=9, bytes=99, age_s=1), 6, 7)
    lane.add([record(7), record(9)], 0.0)
    return lane


def test_the_health_file_says_how_far_and_how_much_is_left(tmp_path, lane) -> None:
    reporter = Reporter(health_file=tmp_path / "health.json", metrics_host="", metrics_port=0)
    reporter.beat([lane], {lane.place: 5}, Counters(inserts=3, retries=2, skipped=1), state="waiting")
    health = json.loads((tmp_path / "health.json").read_text())
    assert (health["state"], health["lag"], health["assigned"]) == ("waiting", 5 + 3, [2])
    assert health["lag_by_topic"] == {"market.trades/2": 8}
    assert (health["inserts"], health["retries"], health["found_stored"]) == (3, 2, 1)


def test_lag_is_null_until_every_log_end_is_known(tmp_path, lane) -> None:
    reporter = Reporter(health_file=tmp_path / "health.json", metrics_host="", metrics_port=0)
    reporter.beat([lane], {}, Counters(), state="running")
    assert json.loads((tmp_path / "health.json").read_text())["lag"] is None


def test_metrics_are_served_on_the_port(port, lane) -> None:
    reporter = Reporter(health_file=None, metrics_host="127.0.0.1", metrics_port=port)
    stored = Stored()
    stored.rows, stored.bytes = 7, 70
    reporter.stored("market_trades", stored)
    for inserts in (3, 5):
        reporter.beat([lane], {lane.place: 0}, Counters(inserts=inserts), state="running")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    assert 'gammaflow_sink_rows_total{table="market_trades"} 7.0' in page
    assert "gammaflow_sink_inserts_total 5.0" in page
    assert 'gammaflow_sink_position{partition="2",topic="market.trades"} 6.0' in page


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"GAMMAFLOW_METRICS_PORT={taken}: .*choose another"):
            Reporter(health_file=None, metrics_host="127.0.0.1", metrics_port=taken)
