"""What the collector tells about itself: a health file at most once a second, metrics on loopback."""

import json
import socket
import urllib.request
from pathlib import Path

import pytest

from collector.reporting import PortTaken, Reporter
from stack.process import free_ports


def reporter(health_file: Path | None = None, port: int = 0) -> Reporter:
    return Reporter(health_file=health_file, metrics_host="127.0.0.1", metrics_port=port)


def test_the_health_file_says_what_was_written_and_what_is_connected(tmp_path: Path) -> None:
    path = tmp_path / "health.json"

    reporter(path).tell({("deribit", "message"): 3, ("deribit", "gap"): 1}, {"deribit-0": True}, state="running")

    beat = json.loads(path.read_text())
    assert (beat["service"], beat["state"], beat["records"]) == ("collector", "running", 4)
    assert beat["connected"] == {"deribit-0": True}


def test_within_a_second_only_the_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    made = reporter(path)
    made.tell({}, {}, state="running")
    made.tell({("deribit", "message"): 9}, {}, state="running")
    assert json.loads(path.read_text())["records"] == 0

    made.tell({("deribit", "message"): 9}, {}, state="ended")

    assert json.loads(path.read_text())["state"] == "ended"
    assert json.loads(path.read_text())["records"] == 9


def test_metrics_count_records_and_connections() -> None:
    [port] = free_ports(1)
    made = reporter(port=port)
    made.tell({("deribit", "message"): 3}, {"deribit-0": True}, state="running")
    made.tell({("deribit", "message"): 5}, {"deribit-0": False}, state="ended")

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        page = answer.read().decode()

    assert 'gammaflow_raw_records_total{kind="message",venue="deribit"} 5.0' in page
    assert 'gammaflow_connected{connection="deribit-0"} 0.0' in page


def test_a_metrics_port_that_is_taken_is_refused_with_the_remedy() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        with pytest.raises(PortTaken, match=rf"GAMMAFLOW_METRICS_PORT={port}: .*; choose another or 0"):
            reporter(port=port)
