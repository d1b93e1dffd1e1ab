-- What people ask first, of the live run. Views read the newest rows only where the sorting key allows it.

CREATE VIEW IF NOT EXISTS v_exposure_latest AS
SELECT *
FROM dealer_exposure
WHERE run_id = ''
  AND (underlying, greeks_model, sign_model, second, venue) IN (
      SELECT underlying, greeks_model, sign_model, max(second), venue
      FROM dealer_exposure
      WHERE run_id = ''
      GROUP BY underlying, greeks_model, sign_model, venue
  )
ORDER BY underlying, greeks_model, sign_model, venue;

-- One row per root; one with null roots for a second without any.
CREATE VIEW IF NOT EXISTS v_flip_history AS
SELECT
    venue,
    underlying,
    greeks_model,
    sign_model,
    second,
    spot,
    flip_status,
    flip_spot,
    root_spot,
    root_distance_pct,
    root_distance_sigmas,
    root_slope_usd_per_pct_per_usd
FROM dealer_exposure
LEFT ARRAY JOIN
    arrayMap(value -> toNullable(value), flips.spot) AS root_spot,
    arrayMap(value -> toNullable(value), flips.distance_pct) AS root_distance_pct,
    flips.distance_sigmas AS root_distance_sigmas,
    arrayMap(value -> toNullable(value), flips.slope_usd_per_pct_per_usd) AS root_slope_usd_per_pct_per_usd
WHERE run_id = '';

CREATE VIEW IF NOT EXISTS v_latency AS
SELECT
    venue,
    underlying,
    second,
    max(received_ts) AS last_received_ts,
    max(_inserted_ts) AS visible_ts,
    dateDiff('microsecond', last_received_ts, visible_ts) / 1000 AS latency_ms
FROM dealer_exposure
WHERE run_id = '' AND received_ts IS NOT NULL
GROUP BY venue, underlying, second;
