"""What ``./run surface`` writes: a surface as plain JSON values, null where something is not known."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from gammaflow.surface_chain import ReadChain, Rejected, iso
from pricing.surface.andreasen_huge import AndreasenHuge
from pricing.surface.build import FittedExpiry, Surface, moneyness_of
from pricing.surface.certificate import HIGH_REACH, LOW_REACH, QuoteFit
from pricing.surface.derived import (
    CONSTANT_MATURITIES_D,
    at_constant_maturity,
    delta_vols,
    forward_vols,
    term_slope,
    variance_swap_vol,
)
from pricing.surface.normalised import implied_sd
from pricing.surface.options import OptionQuote
from pricing.surface.quotes import Smile, smile_vol
from pricing.surface.svi import RawSvi, SviSummary

Json = dict[str, Any]

GRID_POINTS: Final = 401
_DVOL_DAYS: Final = 30
_DISLOCATION_POINTS: Final = 10.0


def document(surfaces: list[tuple[ReadChain, Surface]], rejected: list[Rejected]) -> Json:
    """Everything: one list of expiries over all underlyings, then what is derived per underlying."""
    return {
        "expiries": [expiry(read, surface.fit, one) for read, surface in surfaces for one in surface.expiries],
        "underlyings": {read.underlying: underlying(read, surface) for read, surface in surfaces},
        "rejected_rows": [{"row": one.row, "instrument": one.instrument, "status": one.status} for one in rejected],
    }


def expiry(read: ReadChain, fit: AndreasenHuge | None, one: FittedExpiry) -> Json:
    """One expiry with its quotes and grid."""
    forward = one.forward
    return {
        "underlying": read.underlying,
        "expiry": one.expiry,
        "tau_years": one.tau_years,
        "forward": None if forward is None else forward.value,
        "forward_source": None if forward is None else forward.source,
        "model": one.model,
        "parameters": _parameters(fit, one),
        "svi_summary": None if one.summary is None else _summary(one.summary),
        "certificate": _certificate(one),
        "status": one.status,
        "derived": None if one.smile is None else _derived(one.smile),
        "quotes": [_quote(read, one, i) for i in range(len(one.chain.options))],
        "grid": _grid(one),
    }


def _parameters(fit: AndreasenHuge | None, one: FittedExpiry) -> Json | None:
    if isinstance(one.smile, RawSvi):
        return _svi(one.smile)
    if one.model != "andreasen_huge" or fit is None:
        return None
    i = next(j for j, quotes in enumerate(fit.quotes) if quotes.expiry == one.expiry)
    knots, u = fit.local_variance(i)
    return {"knots_log_moneyness": knots.tolist(), "log_local_variance": u.tolist(), "substeps": fit.settings.substeps}


def _svi(svi: RawSvi) -> Json:
    return {"a": svi.a, "b": svi.b, "rho": svi.rho, "m": svi.m, "sigma": svi.sigma}


def _summary(summary: SviSummary) -> Json:
    return {
        **_svi(summary.svi),
        "atm_skew": summary.svi.atm_skew,
        "atm_curvature": summary.svi.atm_curvature,
        "butterfly_free": summary.butterfly_free,
        "repaired": summary.repaired,
    }


def _certificate(one: FittedExpiry) -> Json | None:
    certificate = one.certificate
    if certificate is None or one.forward is None:
        return None
    parity = one.forward.parity
    return {
        "min_slope_jump": _finite(certificate.arbitrage.min_slope_jump),
        "min_calendar_gap": _finite(certificate.arbitrage.min_calendar_gap),
        "arbitrage_free": certificate.arbitrage.passed,
        "checked_strikes": [LOW_REACH, HIGH_REACH],
        **_fit(certificate.fit),
        "liquid": _fit(certificate.liquid),
        "smoothing_lambda": certificate.smoothing,
        "parity_low": None if parity is None else parity.low,
        "parity_high": None if parity is None else parity.high,
        "parity_alarm": certificate.parity_alarm,
        "forward_disagreement_bps": certificate.forward_disagreement_bps,
        "oldest_quote_s": certificate.oldest_quote_s,
    }


def _fit(fit: QuoteFit | None) -> Json:
    return {
        "n_quotes": 0 if fit is None else fit.n_quotes,
        "n_outside": 0 if fit is None else fit.n_outside,
        "max_outside_vol_points": None if fit is None else fit.max_outside_vol_points,
        "rmse_vol_points": None if fit is None else fit.rmse_vol_points,
    }


def _derived(smile: Smile) -> Json:
    """Vols at deltas and the variance swap; null where the smile does not reach a delta."""
    out: Json = {"atm_vol": float(smile_vol(smile, 0.0)), "variance_swap_vol": _finite(variance_swap_vol(smile))}
    names = (
        *("call_25d", "put_25d", "call_10d", "put_10d"),
        *("risk_reversal_25d", "risk_reversal_10d", "butterfly_25d", "butterfly_10d"),
    )
    try:
        vols = delta_vols(smile)
    except ValueError:
        return {**out, **dict.fromkeys((*names, "call_skew"))}
    return {**out, **{name: getattr(vols, name) for name in names}, "call_skew": vols.risk_reversal_25d}


def _quote(read: ReadChain, one: FittedExpiry, i: int) -> Json:
    option = one.chain.options[i]
    reason = one.reasons[i] if one.reasons else one.status
    bid, ask, fitted = None, None, None
    if one.forward is not None:
        k = moneyness_of(one, option)
        bid, ask = (_vol(option, k, value, one.tau_years) for value in (option.bid, option.ask))
        fitted = None if one.smile is None else _finite(float(smile_vol(one.smile, k)))
    return {
        "instrument": option.instrument,
        "strike": option.strike,
        "bid_vol": bid,
        "ask_vol": ask,
        "mid_vol": None if bid is None or ask is None else 0.5 * (bid + ask),
        "fitted_vol": fitted,
        "used": reason is None and one.smile is not None,
        "status": read.statuses.get(option.instrument) or reason or "ok",
    }


def _vol(option: OptionQuote, k: float, value: float | None, tau_years: float) -> float | None:
    """Implied vol of a bid or ask, in or out of the money; None where no vol gives it."""
    if value is None:
        return None
    intrinsic = max(1.0 - math.exp(k), 0.0) if option.is_call else max(math.exp(k) - 1.0, 0.0)
    return _finite(implied_sd(k, value - intrinsic) / math.sqrt(tau_years))


def _grid(one: FittedExpiry) -> list[Json]:
    """Total variance over the quoted range, widened by half of its width at both ends."""
    if one.smile is None or one.quotes is None:
        return []
    low, high = float(one.quotes.log_moneyness[0]), float(one.quotes.log_moneyness[-1])
    margin = 0.5 * (high - low)
    k = np.linspace(low - margin, high + margin, GRID_POINTS)
    w = one.smile.total_variance(k)
    return [
        {"log_moneyness": float(a), "total_variance": _finite(float(b)), "is_extrapolated": not low <= a <= high}
        for a, b in zip(k, w, strict=True)
    ]


def underlying(read: ReadChain, surface: Surface) -> Json:
    """Term structure of one underlying."""
    usable = [one for one in surface.expiries if one.is_usable and one.smile is not None]
    smiles = [one.smile for one in usable if one.smile is not None]
    taus = [smile.tau_years for smile in smiles]
    atm = [float(smile_vol(smile, 0.0)) for smile in smiles]
    swaps = [variance_swap_vol(smile) for smile in smiles]
    dvol = at_constant_maturity(taus, swaps, _DVOL_DAYS) if taus else None
    return {
        "as_of": iso(read.as_of_ms),
        "status": surface.status,
        "atm_vol_by_days": _constant_maturities(taus, atm),
        "term_slope_30d_7d": term_slope(taus, atm) if taus else None,
        "forward_vols": [
            {"from": a.expiry, "to": b.expiry, "vol": _finite(vol)}
            for a, b, vol in zip(usable[:-1], usable[1:], forward_vols(taus, atm), strict=True)
        ],
        "variance_swap_30d_vol_points": None if dvol is None else 100.0 * dvol.vol,
        "variance_swap_30d_is_extrapolated": None if dvol is None else dvol.is_extrapolated,
        "dislocations": [
            {"from": a.expiry, "to": b.expiry, "vol_points": 100.0 * (v1 - v0)}
            for a, b, v0, v1 in zip(usable[:-1], usable[1:], atm[:-1], atm[1:], strict=True)
            if abs(v1 - v0) * 100.0 > _DISLOCATION_POINTS
        ],
    }


def _constant_maturities(taus: list[float], vols: list[float]) -> Mapping[str, Json | None]:
    out: dict[str, Json | None] = {}
    for days in CONSTANT_MATURITIES_D:
        found = at_constant_maturity(taus, vols, days) if taus else None
        out[str(days)] = None if found is None else {"vol": found.vol, "is_extrapolated": found.is_extrapolated}
    return out


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
