"""`./run demo --source recorded`: every recorded chain through all services, checked against an independent sum."""

import csv
import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.shared_data, pytest.mark.timeout(600)]

DAILY_CHAINS = 8
HOURLY_CHAINS = 24
EXPOSURE = """
SELECT toUnixTimestamp(second), spot, ngi_usd_per_pct, n_used, flip_status FROM dealer_exposure
WHERE sign_model = 'naive' AND greeks_model = 'european' AND status = 'ok' AND toDate(second) = '2026-01-21'
ORDER BY second DESC LIMIT 1
"""


@pytest.fixture(scope="module")
def demo(gammaflow: Any, shared_data: Path) -> Any:
    """The finished demo."""
    return gammaflow("demo", "--source", "recorded", "--path", str(shared_data), "--once", timeout_s=550)


def naive_ngi(chain: Path, *, end_s: float, spot: float, max_age_s: float) -> tuple[float, int]:
    """Recompute NGI with numpy alone: dealers long calls and short puts on open interest, Black-76 on mark ivs."""
    with gzip.open(chain, "rt") as file:
        rows = [row for row in csv.DictReader(file) if float(row["mark_iv"]) > 0]

    def column(name: str) -> Any:
        return np.array([float(row[name]) for row in rows])

    tau = (column("expiration_timestamp") / 1e3 - end_s) / (365 * 86400)
    live = (tau > 0) & (end_s - column("timestamp") / 1e3 <= max_age_s) & (column("underlying_price") > 0)
    forward, strike, vol = column("underlying_price")[live], column("strike")[live], column("mark_iv")[live] / 100
    deviation = vol * np.sqrt(tau[live])
    d1 = np.log(forward / strike) / deviation + deviation / 2
    gamma = np.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi) / (forward * deviation)
    sign = np.array([1.0 if row["option_type"] == "call" else -1.0 for row in rows])[live]
    return float(np.sum(sign * column("open_interest")[live] * gamma) * spot**2 * 0.01), int(live.sum())


def test_the_demo_ends_by_itself_with_a_report(demo: Any) -> None:
    """Exit 0, a report, and no traceback anywhere."""
    assert demo.returncode == 0, demo.stderr[-3000:]
    assert "Traceback" not in demo.stdout + demo.stderr
    report = Path(demo.stderr.split("report: ")[1].splitlines()[0])
    page = report.read_text()
    assert page.count("<svg") >= 2
    assert "GEX(S)" in page


def test_every_recorded_chain_arrived(demo: Any, query: Any) -> None:
    """Eight daily and 24 hourly chains as tickers and greeks, the option tape as trades."""
    assert demo.returncode == 0, demo.stderr[-3000:]
    # Two of the daily chains are of one date, 23 hours apart; each lies within one hour.
    daily = query(
        "SELECT uniqExact(toStartOfHour(second)) FROM options_greeks WHERE second BETWEEN '2026-01-14' AND '2026-01-22'"
    )
    assert int(daily[0][0]) == DAILY_CHAINS
    hours = query(
        "SELECT uniqExact(toStartOfHour(second)) FROM market_tickers WHERE kind = 'option' "
        "AND iv_age_ms < 60000 AND second BETWEEN '2026-01-23 00:30:00' AND '2026-01-24 00:30:00'"
    )
    assert int(hours[0][0]) == HOURLY_CHAINS
    assert int(query("SELECT count() FROM market_trades WHERE kind = 'option'")[0][0]) > 3000
    assert int(query("SELECT count() FROM dealer_exposure")[0][0]) > 0


def test_ngi_of_a_recorded_chain_equals_an_independent_sum(demo: Any, query: Any, shared_data: Path) -> None:
    """NGI of the chain of 2026-01-21, through Kafka and ClickHouse, to 1e-9."""
    assert demo.returncode == 0, demo.stderr[-3000:]
    second, spot, ngi, n_used, _ = query(EXPOSURE)[0]
    chain = shared_data / "deribit_chain" / "BTC_20260121_options_raw.csv.gz"
    expected, n_expected = naive_ngi(chain, end_s=int(second) + 1, spot=float(spot), max_age_s=120)
    assert int(n_used) == n_expected
    assert float(ngi) == pytest.approx(expected, rel=1e-9)


def test_nothing_was_refused_and_nothing_is_left_running(demo: Any, gammaflow: Any, query: Any) -> None:
    """No dead letter of the pipeline, no process."""
    assert demo.returncode == 0, demo.stderr[-3000:]
    for service in ("normalizer", "greeks", "dealer_flow", "alerts"):
        assert query(f"SELECT count() FROM {service}_deadletter") == [["0"]], service
    assert gammaflow("status").stdout.startswith("not running")
