"""From an exposure to the record that is published."""

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

from contracts.records import DealerExposure, ExpiryExposure, Flip, OptionGreeks, StrikeExposure
from dealer_flow.exposure import Buckets, Exposure, Levels
from dealer_flow.inventory import SignModel


def exposure_record(
    greeks: OptionGreeks, sign_model: SignModel, exposure: Exposure, quality: tuple[str, ...]
) -> DealerExposure:
    """Return the record of one greeks model and one sign model; ``quality`` are the flags of its positions.

    ``reasons`` are the exposure's own and those that the greeks came with; levels are null or empty when suppressed.
    """
    head: dict[str, Any] = {
        "venue": greeks.venue,
        "underlying": greeks.underlying,
        "second": greeks.second,
        "received_ts": greeks.received_ts,
        "greeks_model": greeks.model,
        "sign_model": sign_model,
        "reasons": tuple(sorted({*greeks.reasons, *exposure.reasons})),
        "spot": greeks.spot,
        "gamma_coverage": exposure.gamma_coverage,
        "n_listed": greeks.n_listed,
        "n_used": exposure.n_used,
        "max_age_ms": exposure.max_age_ms,
        "profile_dynamics": "sticky_strike",
        "quality": quality,
    }
    if exposure.levels is None:
        return DealerExposure(**head, status="suppressed", flip_status="suppressed")
    return _with_levels(head, exposure.levels)


def _with_levels(head: dict[str, Any], found: Levels) -> DealerExposure:
    return DealerExposure(
        **head,
        **asdict(found.totals),
        status="ok",
        by_strike=tuple(StrikeExposure(strike=key, **row) for key, row in _rows(found.by_strike)),
        by_expiry=tuple(ExpiryExposure(expiry_ts=key, **row) for key, row in _rows(found.by_expiry)),
        profile_spots=found.profile.spots.tolist(),
        profile_ngi_usd_per_pct=found.profile.ngi_usd_per_pct.tolist(),
        profile_vss_usd_per_vol_point=found.profile.vss_usd_per_vol_point.tolist(),
        flips=tuple(Flip(**asdict(flip)) for flip in found.flips.all),
        flip_status=found.flips.status,
        flip_spot=found.flips.nearest,
        call_wall=found.call_wall,
        put_wall=found.put_wall,
    )


def _rows(buckets: Buckets) -> Iterator[tuple[Any, dict[str, float]]]:
    """Yield each bucket's key and its sums by name."""
    names = [field.name for field in fields(buckets) if field.name != "keys"]
    columns = [getattr(buckets, name).tolist() for name in names]
    for key, *sums in zip(buckets.keys.tolist(), *columns, strict=True):
        yield key, dict(zip(names, sums, strict=True))
