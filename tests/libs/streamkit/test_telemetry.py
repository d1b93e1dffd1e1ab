"""What the loop shows of itself: heartbeat file, metrics, their page; and the watchdog."""

import json
import threading
from pathlib import Path

from prometheus_client import generate_latest

from streamkit import metrics
from streamkit.metrics import METRICS, Metrics
from streamkit.watchdog import Watchdog

ROOT = Path(__file__).resolve().parents[3]


def test_the_heartbeat_tells_assignment_lag_and_last_commit(kit, counting, tmp_path):
    kit.write("market.funding", counting.record_input(30))
    heartbeat = tmp_path / "health.json"
    loop = kit.loop(counting.record_pipeline(), health_file=heartbeat, poll_max_records=10)
    loop.start()
    loop.turn()
    first = json.loads(heartbeat.read_text())
    assert first["assigned"] == [0]
    assert first["lag"] >= 20
    for _ in range(1_500):
        loop.turn()
    last = json.loads(heartbeat.read_text())
    assert (last["state"], last["lag"]) == ("running", 0)
    assert last["last_commit"] is not None


def test_the_metrics_count_what_was_done(kit, counting, codecs):
    kit.write("market.funding", counting.record_input(30))
    loop = kit.loop(counting.record_pipeline())
    loop.start()
    for _ in range(1_500):
        loop.turn()
    text = generate_latest(kit.metrics.registry).decode()
    assert 'gammaflow_records_total{partition="0",service="greeks"} 30.0' in text
    assert 'gammaflow_lag_records{partition="0",service="greeks",topic="market.funding"} 0.0' in text
    assert "gammaflow_transaction_seconds_count" in text


def test_the_page_of_metrics_is_up_to_date():
    page = ROOT / "docs" / "reference" / "metrics.md"
    assert page.read_text() == metrics.reference_page(), "run: python -m streamkit.metrics > docs/reference/metrics.md"


def test_every_metric_is_declared_once_with_a_sentence():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.help.endswith(".") for metric in METRICS)
    Metrics("greeks")


def test_the_watchdog_tells_which_call_overran():
    told, over = [], threading.Event()

    def overrun(name):
        told.append(name)
        over.set()

    watchdog = Watchdog(0.05, overrun)
    watchdog.start()
    with watchdog.guard("commit"):
        assert over.wait(30)
    watchdog.stop()
    assert told == ["commit"]


def test_the_watchdog_still_watches_a_call_when_another_beside_it_returns():
    told, over = [], threading.Event()

    def overrun(name):
        told.append(name)
        over.set()

    watchdog = Watchdog(30.0, overrun)
    with watchdog.guard("stuck", 0.05):
        with watchdog.guard("quick"):
            pass
        watchdog.start()
        assert over.wait(30)
    watchdog.stop()
    assert told == ["stuck"]


def test_the_watchdog_is_silent_about_calls_that_return():
    told = []
    watchdog = Watchdog(30.0, told.append)
    watchdog.start()
    for _ in range(100):
        with watchdog.guard("commit"):
            pass
    watchdog.stop()
    assert told == []
