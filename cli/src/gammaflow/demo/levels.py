"""What the demo shows and reports, read from ClickHouse with the queries a user would write."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from clickhouse_connect.driver.client import Client

LATEST = """
SELECT venue, underlying, sign_model, second, status, reasons, spot, ngi_usd_per_pct, vss_usd_per_vol_point,
       chl_usd_per_day, gamma_coverage, n_listed, n_used, flips.spot, flip_status, flip_spot, call_wall, put_wall,
       profile_spots, profile_ngi_usd_per_pct, by_strike.strike, by_strike.call_ngi_usd_per_pct,
       by_strike.put_ngi_usd_per_pct
FROM dealer_exposure
WHERE greeks_model = 'european' AND {condition}
  AND (underlying, second) IN (
    SELECT underlying, max(second) FROM dealer_exposure
    WHERE greeks_model = 'european' AND {condition} GROUP BY underlying
  )
ORDER BY underlying, sign_model
LIMIT 1 BY underlying, sign_model
"""

LATENCY = """
SELECT count(), quantiles(0.5, 0.99)(toFloat64(exposure.visible_us - ticker.received_us) / 1e6)
FROM (
    SELECT underlying, second, toUnixTimestamp64Micro(received_ts) AS received_us
    FROM market_tickers
    WHERE venue = 'deribit' AND kind = 'option'
      AND intDiv(toUnixTimestamp64Micro(received_ts), 1000000) = toUnixTimestamp(second)
) AS ticker
INNER JOIN (
    SELECT underlying, second, max(toUnixTimestamp64Micro(_inserted_ts)) AS visible_us
    FROM dealer_exposure
    GROUP BY underlying, second
) AS exposure USING (underlying, second)
"""


@dataclass(frozen=True, slots=True)
class Level:
    """The newest exposure of one underlying under one sign model; profile and strikes as ClickHouse holds them."""

    venue: str
    underlying: str
    sign_model: str
    second: datetime
    status: str
    reasons: Sequence[str]
    spot: float | None
    ngi: float | None
    vss: float | None
    chl: float | None
    coverage: float | None
    n_listed: int
    n_used: int
    flips: Sequence[float]
    flip_status: str
    flip: float | None
    call_wall: float | None
    put_wall: float | None
    profile_spots: Sequence[float]
    profile_ngi: Sequence[float]
    strikes: Sequence[float]
    call_ngi: Sequence[float]
    put_ngi: Sequence[float]


@dataclass(frozen=True, slots=True)
class Latency:
    """From the receipt of an option's ticker to the exposure of its second being in ClickHouse, over all updates."""

    updates: int
    p50_s: float
    p99_s: float


def latest_levels(client: Client, *, priced_only: bool = False) -> list[Level]:
    """Return the newest exposure per underlying and sign model, optionally the newest that was not suppressed.

    The newest second is found first: profiles and strikes are long, and only those of one second are read.
    """
    condition = "status = 'ok'" if priced_only else "1"
    return [Level(*row) for row in client.query(LATEST.format(condition=condition)).result_rows]


def latency(client: Client) -> Latency | None:
    """Return the end-to-end latency seen so far, or None before the first exposure."""
    updates, (p50_s, p99_s) = client.query(LATENCY).result_rows[0]
    return Latency(updates, p50_s, p99_s) if updates and not math.isnan(p99_s) else None
