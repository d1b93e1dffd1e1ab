"""A chain in, a surface with a certificate per expiry out: the way into this package.

Per expiry: the forward, the quotes that pass the filter, then a model. Expiries with enough quotes together form the
Andreasen–Huge surface. A thin one is fitted with raw SVI, started from its neighbour's shape, if the result is free
of butterfly arbitrage and ordered in time against its neighbours; otherwise it is taken from the surface by a
fractional step. Nothing raises: what is wrong with an expiry is in its status.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.surface import svi
from pricing.surface.andreasen_huge import MIN_QUOTES, AndreasenHuge, ValueSmile, fit_surface
from pricing.surface.between import smile_at
from pricing.surface.certificate import HIGH_REACH, LOW_REACH, ArbitrageCheck, QuoteFit, check_values, quote_fit
from pricing.surface.forwards import Forward, choose_forward, interpolate_forward
from pricing.surface.local_variance import FitSettings
from pricing.surface.options import OptionQuote, QuoteFilter, log_moneyness, slice_quotes
from pricing.surface.quotes import SliceQuotes, Smile

_LIQUID_SPREAD_VOL: Final = 0.02
_N_CHECKS: Final = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryChain:
    """All options of one expiry as a venue lists them."""

    expiry: str
    tau_years: float
    options: tuple[OptionQuote, ...]
    future: float | None = None
    """price of the future with this expiry"""
    forward_from_delta: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceCertificate:
    """What is known about a published slice."""

    arbitrage: ArbitrageCheck
    fit: QuoteFit | None
    """None for a slice without usable quotes"""
    liquid: QuoteFit | None
    """the same for quotes at most two vol points wide"""
    smoothing: float | None
    """λ of the local variance; None for other models"""
    parity_alarm: bool
    forward_disagreement_bps: float
    oldest_quote_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedExpiry:
    """One expiry of a surface."""

    expiry: str
    tau_years: float
    status: str
    """``ok``; ``forward_alarm`` (fitted, but the sources of the forward disagree); ``interpolated`` (too few quotes
    for a smile of its own); ``failed`` (not free of arbitrage: do not use); ``expired``, ``no_forward``,
    ``no_surface`` (nothing to give)"""
    chain: ExpiryChain
    forward: Forward | None = None
    quotes: SliceQuotes | None = None
    reasons: tuple[str | None, ...] = ()
    """per option of the chain why it was not used; None if it was"""
    model: str | None = None
    """``andreasen_huge``, ``svi`` or ``andreasen_huge_interpolated``"""
    smile: Smile | None = None
    summary: svi.SviSummary | None = None
    certificate: SliceCertificate | None = None

    @property
    def is_usable(self) -> bool:
        """There is a smile and it is certified."""
        return self.smile is not None and self.status != "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """All expiries of one underlying, shortest first, and the fit that warm-starts the next one."""

    expiries: tuple[FittedExpiry, ...]
    fit: AndreasenHuge | None

    @property
    def status(self) -> str:
        """``ok`` if every slice that has a smile is certified, ``failed`` if one is not, ``empty`` without any."""
        fitted = [one for one in self.expiries if one.smile is not None]
        if not fitted:
            return "empty"
        return "ok" if all(one.is_usable for one in fitted) else "failed"


@dataclass(frozen=True, slots=True)
class _Prepared:
    chain: ExpiryChain
    forward: Forward | None
    reasons: tuple[str | None, ...] = ()
    quotes: SliceQuotes | None = None

    @property
    def is_thick(self) -> bool:
        return self.quotes is not None and self.quotes.log_moneyness.size >= MIN_QUOTES


@dataclass(frozen=True, slots=True)
class _Choice:
    model: str
    smile: Smile
    summary: svi.SviSummary | None = None
    smoothing: float | None = None


def build_surface(
    chains: Sequence[ExpiryChain],
    *,
    quote_filter: QuoteFilter | None = None,
    settings: FitSettings | None = None,
    warm: Surface | None = None,
) -> Surface:
    """Fit all expiries of one underlying at one instant; ``warm`` is the surface of the instant before."""
    chosen = quote_filter or QuoteFilter()
    prepared = _prepare(sorted(chains, key=lambda one: (one.tau_years, one.expiry)), chosen)
    thick = [one.quotes for one in prepared if one.is_thick and one.quotes is not None]
    fit = fit_surface(thick, settings=settings, warm=None if warm is None else warm.fit) if thick else None
    summaries = {} if warm is None else {one.expiry: one.summary for one in warm.expiries}
    at = {} if fit is None else {quotes.expiry: i for i, quotes in enumerate(fit.quotes)}
    expiries = tuple(_fitted(one, fit, at, summaries.get(one.chain.expiry)) for one in prepared)
    return Surface(expiries=expiries, fit=fit)


def _prepare(chains: Sequence[ExpiryChain], quote_filter: QuoteFilter) -> list[_Prepared]:
    """Choose forwards, those without a source of their own from their neighbours, and filter the quotes."""
    alive = {one.expiry: one for one in chains if one.tau_years > 0}
    forwards = {
        name: choose_forward(one.options, future=one.future, from_delta=one.forward_from_delta)
        for name, one in alive.items()
    }
    known = {alive[name].tau_years: forward.value for name, forward in forwards.items() if forward is not None}
    out = []
    for one in chains:
        forward = forwards.get(one.expiry) or (interpolate_forward(one.tau_years, known) if one.tau_years > 0 else None)
        if forward is None:
            out.append(_Prepared(one, None))
            continue
        reasons = tuple(quote_filter.reason_against(option, forward.value) for option in one.options)
        used = [option for option, reason in zip(one.options, reasons, strict=True) if reason is None]
        out.append(_Prepared(one, forward, reasons, slice_quotes(one.expiry, one.tau_years, used, forward.value)))
    return out


def _fitted(
    one: _Prepared, fit: AndreasenHuge | None, at: dict[str, int], before: svi.SviSummary | None
) -> FittedExpiry:
    chain, forward = one.chain, one.forward
    if forward is None:
        status = "expired" if chain.tau_years <= 0 else "no_forward"
        return FittedExpiry(expiry=chain.expiry, tau_years=chain.tau_years, status=status, chain=chain)
    choice = _choose(one, fit, at, before)
    if choice is None:
        return FittedExpiry(
            expiry=chain.expiry,
            tau_years=chain.tau_years,
            status="no_surface",
            chain=chain,
            forward=forward,
            quotes=one.quotes,
            reasons=one.reasons,
        )
    certificate = _certify(one, forward, choice, fit)
    return FittedExpiry(
        expiry=chain.expiry,
        tau_years=chain.tau_years,
        status=_status(choice, certificate),
        chain=chain,
        forward=forward,
        quotes=one.quotes,
        reasons=one.reasons,
        model=choice.model,
        smile=choice.smile,
        summary=choice.summary,
        certificate=certificate,
    )


def _status(choice: _Choice, certificate: SliceCertificate) -> str:
    if not certificate.arbitrage.passed:
        return "failed"
    if certificate.parity_alarm:
        return "forward_alarm"
    return "interpolated" if choice.model == "andreasen_huge_interpolated" else "ok"


def _choose(
    one: _Prepared, fit: AndreasenHuge | None, at: dict[str, int], before: svi.SviSummary | None
) -> _Choice | None:
    """Pick the best model that the quotes allow."""
    quotes = one.quotes
    if quotes is not None and fit is not None and quotes.expiry in at:
        i = at[quotes.expiry]
        summary = svi.summarise(quotes, warm=None if before is None else before.svi)
        return _Choice("andreasen_huge", fit.smile(i), summary, fit.smoothing(i))
    if quotes is not None and quotes.log_moneyness.size >= svi.MIN_QUOTES:
        summary = svi.summarise(quotes, warm=_shape_for(quotes, fit))
        if summary.butterfly_free and _check_smile(summary.svi, quotes, fit).passed:
            return _Choice("svi", summary.svi, summary)
    if fit is None:
        return None
    level = None if quotes is None else quotes.atm_deviation**2
    return _Choice("andreasen_huge_interpolated", smile_at(fit, one.chain.tau_years, atm_variance=level))


def _shape_for(quotes: SliceQuotes, fit: AndreasenHuge | None) -> svi.RawSvi:
    """Start value of a slice with few quotes: the nearest expiry's shape, or a flat one, at its own level."""
    level = quotes.atm_vol**2 * quotes.tau_years
    if fit is None:
        width = math.sqrt(level)
        return svi.RawSvi(tau_years=quotes.tau_years, a=0.8 * level, b=0.2 * level / width, rho=0.0, m=0.0, sigma=width)
    near = min(fit.quotes, key=lambda other: abs(math.log(other.tau_years / quotes.tau_years)))
    shape = svi.summarise(near).svi
    scale = level / float(shape.total_variance(np.zeros(1))[0])
    # w(k) → s·w(k/√s) keeps the smile in deviations of its own level.
    root = math.sqrt(scale)
    return svi.RawSvi(
        tau_years=quotes.tau_years,
        a=scale * shape.a,
        b=root * shape.b,
        rho=shape.rho,
        m=root * shape.m,
        sigma=root * shape.sigma,
    )


def _certify(one: _Prepared, forward: Forward, choice: _Choice, fit: AndreasenHuge | None) -> SliceCertificate:
    smile = choice.smile
    arbitrage = (
        _check_nodes(smile, one.quotes, fit)
        if isinstance(smile, ValueSmile) and fit is not None
        else _check_smile(smile, one.quotes, fit)
    )
    ages = [option.age_s for option in one.chain.options if option.age_s is not None]
    return SliceCertificate(
        arbitrage=arbitrage,
        fit=None if one.quotes is None else quote_fit(one.quotes, smile),
        liquid=_liquid_fit(one.quotes, smile),
        smoothing=choice.smoothing,
        parity_alarm=forward.is_alarming,
        forward_disagreement_bps=forward.disagreement_bps,
        oldest_quote_s=max(ages, default=None),
    )


def _liquid_fit(quotes: SliceQuotes | None, smile: Smile) -> QuoteFit | None:
    if quotes is None:
        return None
    narrow = quotes.ask_vol - quotes.bid_vol <= _LIQUID_SPREAD_VOL
    if not np.any(narrow):
        return None
    part = SliceQuotes(
        quotes.expiry, quotes.tau_years, quotes.log_moneyness[narrow], quotes.bid[narrow], quotes.ask[narrow]
    )
    return quote_fit(part, smile)


def _range(quotes: SliceQuotes | None, fit: AndreasenHuge | None) -> tuple[float, float]:
    """Lowest and highest quoted log-moneyness of a slice, or of the surface if it has no quotes."""
    if quotes is not None:
        return float(quotes.log_moneyness[0]), float(quotes.log_moneyness[-1])
    if fit is None:
        return 0.0, 0.0
    return float(min(q.log_moneyness[0] for q in fit.quotes)), float(max(q.log_moneyness[-1] for q in fit.quotes))


def _check_nodes(smile: ValueSmile, quotes: SliceQuotes | None, fit: AndreasenHuge) -> ArbitrageCheck:
    """Check a slice on the surface's nodes against the next longer one; an interpolated slice at its nodes only."""
    low, high = _range(quotes, fit)
    later = [i for i, other in enumerate(fit.quotes) if other.tau_years > smile.tau_years]
    following = fit.smile(later[0]) if later else None
    quoted = any(other.tau_years == smile.tau_years for other in fit.quotes)
    if quoted or following is None:
        return check_values(smile, following, lowest_k=low, highest_k=high)
    alone = check_values(smile, None, lowest_k=low, highest_k=high)
    return ArbitrageCheck(
        min_slope_jump=alone.min_slope_jump,
        min_calendar_gap=float(np.min((following.values - smile.values)[1:-1])),
    )


def _check_smile(smile: Smile, quotes: SliceQuotes | None, fit: AndreasenHuge | None) -> ArbitrageCheck:
    """Check a smile of any model on a grid of strikes: convexity by slopes, order by total variance with the fit's
    slices.

    ``min_calendar_gap`` is then in total variance.
    """
    low, high = _range(quotes, fit)
    k = np.linspace(low + math.log(LOW_REACH), high + math.log(HIGH_REACH), _N_CHECKS)
    w = smile.total_variance(k)
    jump = 0.0
    if isinstance(smile, svi.RawSvi):
        jump = min(smile.smallest_g(float(k[0]), float(k[-1]))[0], 0.0)
    gaps = []
    for i, other in enumerate(() if fit is None else fit.quotes):
        difference = fit.smile(i).total_variance(k) - w if fit is not None else w
        gaps.append(float(np.min(difference if other.tau_years > smile.tau_years else -difference)))
    return ArbitrageCheck(min_slope_jump=jump, min_calendar_gap=min(gaps, default=None))


def moneyness_of(one: FittedExpiry, option: OptionQuote) -> float:
    """ln(K/F) of an option of a fitted expiry, with the forward that its quote belongs to."""
    if one.forward is None:
        raise ValueError(f"{one.expiry} has no forward; check its status first")
    return log_moneyness(option, one.forward.value)
