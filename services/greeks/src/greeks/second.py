"""Greeks of a whole chain at the end of one second: from the chain's state to the record."""

from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.records import Clock, OptionGreeks
from greeks.chain import Chain, Listing, Quotes
from greeks.forwards import DeltaQuotes, Forwards, ForwardSource, Spot, choose_forwards, choose_spot
from pricing.black76 import Black76, FloatArray, black76
from pricing.inverse import coin_price, net_delta

MICROSECONDS: Final = 1_000_000
YEAR_US: Final = 365 * 86_400 * MICROSECONDS
_MARK_IV: Final = 1


class Quality(IntFlag):
    """Bits of ``OptionGreeks.quality``."""

    NO_VOL = 1
    NO_FORWARD = 2
    NO_OPEN_INTEREST = 4
    STALE = 8
    FORWARD_NOT_FROM_VENUE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainInputs:
    """What a chain is priced on; arrays of shape (n,), NaN where unknown."""

    listing: Listing
    quotes: Quotes
    tau_years: FloatArray
    vol: FloatArray
    open_interest: FloatArray
    forwards: Forwards
    spot: Spot
    age_ms: FloatArray
    quality: npt.NDArray[np.uint8]


def chain_greeks(chain: Chain, clock: Clock, *, max_age_ms: int) -> OptionGreeks:
    """Price every live option of the chain at the end of ``clock.second``: European Black-76, vol from the mark iv.

    An input older than ``max_age_ms`` is used and flagged stale; an option without vol or forward is listed, unpriced.
    """
    inputs = _inputs(chain, clock.second, max_age_ms)
    values = black76(
        forward=inputs.forwards.price,
        strike=inputs.listing.strike,
        tau_years=inputs.tau_years,
        vol=inputs.vol,
        is_call=inputs.listing.is_call,
    )
    n_priced = int(np.count_nonzero(~np.isnan(values.price)))
    return OptionGreeks(
        venue=clock.venue,
        underlying=clock.underlying,
        second=clock.second,
        received_ts=clock.received_ts,
        model="european",
        spot=inputs.spot.price,
        spot_source=inputs.spot.source,
        spot_age_ms=inputs.spot.age_ms,
        status="ok" if n_priced else "suppressed",
        reasons=_reasons(inputs, n_priced, max_age_ms),
        n_listed=len(inputs.listing.instruments),
        n_priced=n_priced,
        instruments=inputs.listing.instruments,
        **_packed(inputs, values),
    )


def _inputs(chain: Chain, second: int, max_age_ms: int) -> ChainInputs:
    listing, quotes = chain.listing(), chain.quotes(second)
    tau_years = (listing.expiry_ts - (second + 1) * MICROSECONDS) / YEAR_US
    vol = quotes.positive("mark_iv")
    deltas = DeltaQuotes(
        strike=listing.strike,
        is_call=listing.is_call,
        tau_years=tau_years,
        vol=vol,
        delta=quotes["venue_delta"],
        age_ms=np.maximum(quotes["iv_age_ms"], quotes["greeks_age_ms"]),
    )
    forwards = choose_forwards(
        venue_price=quotes.positive("underlying_price"),
        venue_age_ms=quotes["underlying_age_ms"],
        expiry_ts=listing.expiry_ts,
        quotes=deltas,
        max_age_ms=max_age_ms,
    )
    open_interest = quotes["open_interest_base"]
    open_interest = np.where(np.isfinite(open_interest) & (open_interest >= 0), open_interest, np.nan)
    age_ms = _oldest(
        (vol, quotes["iv_age_ms"]),
        (forwards.price, forwards.age_ms),
        (open_interest, quotes["open_interest_age_ms"]),
    )
    return ChainInputs(
        listing=listing,
        quotes=quotes,
        tau_years=tau_years,
        vol=vol,
        open_interest=open_interest,
        forwards=forwards,
        spot=choose_spot(
            index_price=quotes.positive("index_price"),
            index_age_ms=quotes["index_age_ms"],
            forwards=forwards,
            max_age_ms=max_age_ms,
        ),
        age_ms=age_ms,
        quality=_quality(vol, forwards, open_interest, age_ms <= max_age_ms),
    )


def _oldest(*inputs: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Return the greatest age of the inputs that are known; NaN when none is, or when a known one has no age."""
    ages = [np.where(np.isnan(value), -np.inf, age) for value, age in inputs]
    oldest: FloatArray = np.maximum.reduce(ages)
    return np.where(np.isneginf(oldest), np.nan, oldest)


def _quality(
    vol: FloatArray, forwards: Forwards, open_interest: FloatArray, fresh: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    bits = (
        (Quality.NO_VOL, np.isnan(vol)),
        (Quality.NO_FORWARD, np.isnan(forwards.price)),
        (Quality.NO_OPEN_INTEREST, np.isnan(open_interest)),
        (Quality.STALE, ~fresh),
        (Quality.FORWARD_NOT_FROM_VENUE, forwards.source == ForwardSource.IMPLIED),
    )
    mask = np.zeros(vol.shape, dtype=np.uint8)
    for bit, raised in bits:
        mask |= np.where(raised, np.uint8(bit), np.uint8(0))
    return mask


def _reasons(inputs: ChainInputs, n_priced: int, max_age_ms: int) -> tuple[str, ...]:
    quality, n_listed = inputs.quality, len(inputs.listing.instruments)
    spot_age = inputs.spot.age_ms
    reasons = {
        "implied_forward": bool(np.any(quality & Quality.FORWARD_NOT_FROM_VENUE)),
        "no_options": n_listed == 0,
        "no_priced_options": n_listed > 0 and n_priced == 0,
        "no_spot": inputs.spot.price is None,
        "spot_from_forward": inputs.spot.source == "nearest_forward",
        "stale_inputs": bool(np.any(quality & Quality.STALE)),
        "stale_spot": spot_age is not None and spot_age > max_age_ms,
        "unpriced_options": 0 < n_priced < n_listed,
    }
    return tuple(name for name, applies in reasons.items() if applies)


def _packed(inputs: ChainInputs, values: Black76) -> dict[str, Any]:
    listing, quotes = inputs.listing, inputs.quotes
    in_coin = np.where(listing.linear, np.nan, coin_price(price=values.price, forward=inputs.forwards.price))
    net = np.where(listing.linear, values.delta, net_delta(delta=values.delta, coin_price=in_coin))
    floats = {
        "strike": listing.strike,
        "tau_years": inputs.tau_years,
        "forward": inputs.forwards.price,
        "vol": inputs.vol,
        "price": values.price,
        "price_coin": in_coin,
        "delta": values.delta,
        "net_delta": net,
        "gamma": values.gamma,
        "vega_per_unit_vol": values.vega_per_unit_vol,
        "theta_per_year": values.theta_per_year,
        "vanna_per_unit_vol": values.vanna_per_unit_vol,
        "volga_per_unit_vol2": values.volga_per_unit_vol2,
        "charm_per_year": values.charm_per_year,
        "open_interest_base": inputs.open_interest,
        **{name: quotes[name] for name in ("mark_price", "bid_price", "ask_price")},
        **{name: quotes[name] for name in ("venue_delta", "venue_gamma", "venue_vega", "venue_theta")},
        "age_ms": inputs.age_ms,
    }
    bytes_ = {
        "is_call": listing.is_call,
        "forward_source": inputs.forwards.source,
        "vol_source": np.where(np.isnan(inputs.vol), 0, _MARK_IV),
        "quality": inputs.quality,
    }
    return (
        {name: column.astype("<f8").tobytes() for name, column in floats.items()}
        | {name: column.astype("u1").tobytes() for name, column in bytes_.items()}
        | {"expiry_ts": listing.expiry_ts.astype("<i8").tobytes()}
    )
