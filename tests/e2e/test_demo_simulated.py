"""`./run demo --source sim`: live sockets through all services, the result held against what the simulator knows."""

from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SECONDS = 25
OPTIONS = 300


@pytest.fixture(scope="module")
def demo(gammaflow: Any) -> Any:
    """The finished demo."""
    wishes = ("--seconds", str(SECONDS), "--options", str(OPTIONS), "--once")
    return gammaflow("demo", "--source", "sim", *wishes)


def test_the_demo_ends_with_levels_for_every_underlying(demo: Any, query: Any) -> None:
    """Both underlyings have levels under both sign models, and nothing was refused."""
    assert demo.returncode == 0, demo.stderr[-3000:]
    assert "end to end: p50" in demo.stdout
    levels = query(
        "SELECT underlying, sign_model FROM dealer_exposure WHERE status = 'ok' AND ngi_usd_per_pct IS NOT NULL "
        "GROUP BY underlying, sign_model ORDER BY underlying, sign_model"
    )
    assert levels == [["BTC", "naive"], ["BTC", "taker_mirror"], ["ETH", "naive"], ["ETH", "taker_mirror"]]
    for service in ("normalizer", "greeks", "dealer_flow", "sink", "alerts"):
        assert query(f"SELECT count() FROM {service}_deadletter") == [["0"]], service


def test_every_second_has_an_exposure_and_no_second_two(demo: Any, query: Any) -> None:
    """From the first to the last second of an underlying there is exactly one exposure per second and sign model."""
    assert demo.returncode == 0, demo.stderr[-3000:]
    spans = query(
        "SELECT underlying, sign_model, count(), uniqExact(second), max(toUnixTimestamp(second)) - "
        "min(toUnixTimestamp(second)) + 1 FROM dealer_exposure GROUP BY underlying, sign_model"
    )
    assert spans
    for underlying, sign_model, rows, seconds, span in spans:
        assert rows == seconds == span, (underlying, sign_model)
        assert int(rows) > SECONDS // 2


def test_taker_mirror_is_the_mirror_of_the_prints(demo: Any, query: Any) -> None:
    """The newest position of each option equals minus the signed sum of its prints in the trades table."""
    assert demo.returncode == 0, demo.stderr[-3000:]
    difference = query(
        "SELECT count(), max(abs(held.position + flow.signed)) FROM "
        "(SELECT instrument, argMax(position_base, _offset) AS position FROM dealer_inventory "
        " WHERE sign_model = 'taker_mirror' GROUP BY instrument) AS held "
        "INNER JOIN (SELECT instrument, sum(if(taker_side = 'buy', amount_base, -amount_base)) AS signed "
        " FROM market_trades WHERE kind = 'option' GROUP BY instrument) AS flow USING (instrument)"
    )
    instruments, worst = difference[0]
    assert int(instruments) > 5
    assert float(worst) < 1e-9
