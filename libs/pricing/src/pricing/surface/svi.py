"""Raw SVI: five numbers for one expiry, w(k) = a + b·(ρ·(k − m) + √((k − m)² + σ²)).

The published summary of a slice, and its model where there are too few quotes for a local variance. A slice is fitted
by the kernels of :mod:`pricing.surface.svi_fit`; where that has butterfly arbitrage, again in coordinates that cannot
(:mod:`pricing.surface.svi_free`).

References
----------
[1] J. Gatheral, A. Jacquier, "Arbitrage-free SVI volatility surfaces", Quantitative Finance 14(1) (2014) 59–71: the
    parametrisations (§3), g(k) and its sign (eq. 2.1, lemma 2.2).
[2] R. Lee, "The moment formula for implied volatility at extreme strikes", Mathematical Finance 14(3) (2004) 469–480.
"""

import math
from dataclasses import dataclass

import numpy as np

from pricing.surface import svi_fit, svi_free
from pricing.surface.certificate import HIGH_REACH, LOW_REACH
from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import SliceQuotes

MIN_QUOTES = 3
"""Below five quotes five numbers are not determined: the start value (flat, or an earlier fit) fills in the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSvi:
    """One expiry in raw SVI; ``a`` and ``b`` in units of total variance, ``m`` and ``sigma`` of log-moneyness."""

    tau_years: float
    a: float
    b: float
    rho: float
    m: float
    sigma: float

    def __post_init__(self) -> None:
        rules = (
            ("b", self.b, self.b >= 0, ">= 0"),
            ("rho", self.rho, -1 < self.rho < 1, "inside (-1, 1)"),
            ("sigma", self.sigma, self.sigma > 0, "> 0"),
            ("a", self.a, self.smallest_variance >= 0, "at least -b*sigma*sqrt(1-rho^2): variance would be negative"),
        )
        for name, value, good, rule in rules:
            if not good:
                raise ValueError(f"{name} = {value!r} of an SVI slice must be {rule}")

    @property
    def smallest_variance(self) -> float:
        """Smallest total variance of the slice, a + bσ√(1 − ρ²)."""
        return self.a + self.b * self.sigma * math.sqrt(max(1.0 - self.rho * self.rho, 0.0))

    @property
    def parameters(self) -> FloatArray:
        """(a, b, ρ, m, σ)."""
        return np.array([self.a, self.b, self.rho, self.m, self.sigma])

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        """Total implied variance σ²T at ln(K/F), (n,) → (n,)."""
        return self.derivatives(log_moneyness)[0]

    def derivatives(self, log_moneyness: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """w, ∂w/∂k and ∂²w/∂k² at ln(K/F), each (n,)."""
        d = np.asarray(log_moneyness) - self.m
        z = np.hypot(d, self.sigma)
        w = self.a + self.b * (self.rho * d + z)
        return w, self.b * (self.rho + d / z), self.b * self.sigma**2 / z**3

    def g(self, log_moneyness: FloatArray) -> FloatArray:
        """The density's factor g(k) [1, eq. 2.1]; negative somewhere means butterfly arbitrage. (n,) → (n,)."""
        w, first, second = self.derivatives(log_moneyness)
        k = np.asarray(log_moneyness)
        return np.asarray((1 - 0.5 * k * first / w) ** 2 - 0.25 * first**2 * (1 / w + 0.25) + 0.5 * second)

    def smallest_g(self, low: float, high: float) -> tuple[float, float]:
        """Smallest g on [low, high] and where it is, looked for around the vertex, where g can dip within σ of m."""
        value, at = svi_fit.smallest_g(self.parameters, low, high)
        return float(value), float(at)

    @property
    def meets_moment_bound(self) -> bool:
        """Both wing slopes b(1 ± ρ) are at most 2 [2]."""
        return self.b * (1.0 + abs(self.rho)) <= 2.0

    @property
    def atm_skew(self) -> float:
        """∂(implied vol)/∂k at k = 0, per √year."""
        w, first, _ = self.derivatives(np.zeros(1))
        return float(first[0] / (2.0 * math.sqrt(w[0] * self.tau_years)))

    @property
    def atm_curvature(self) -> float:
        """∂²(implied vol)/∂k² at k = 0, per √year."""
        w, first, second = (float(values[0]) for values in self.derivatives(np.zeros(1)))
        return (second / 2.0 - first * first / (4.0 * w)) / math.sqrt(w * self.tau_years)


@dataclass(frozen=True, slots=True, kw_only=True)
class SviSummary:
    """A fitted slice and how it was come by."""

    svi: RawSvi
    butterfly_free: bool
    """g ≥ 0 from half the lowest to one and a half times the highest quoted strike, and wing slopes ≤ 2"""
    repaired: bool
    """the free fit had arbitrage and was replaced by one in butterfly-free coordinates"""


def fit(quotes: SliceQuotes, *, warm: RawSvi | None = None) -> RawSvi:
    """Least squares to the mid vols in half spreads, not constrained: plain raw SVI.

    ``warm`` is an earlier fit to start from. Raises :class:`ValueError` below :data:`MIN_QUOTES` quotes.
    """
    if quotes.log_moneyness.size < MIN_QUOTES:
        raise ValueError(f"{quotes.expiry} has {quotes.log_moneyness.size} quotes, SVI needs {MIN_QUOTES}")
    w, weight = _targets(quotes)
    if warm is None:
        found = svi_fit.fit_cold(quotes.log_moneyness, w, weight)
    else:
        found = svi_fit.fit_warm(quotes.log_moneyness, w, weight, warm.parameters)
    return _named(quotes.tau_years, found)


def fit_butterfly_free(quotes: SliceQuotes, *, start: RawSvi | None = None) -> RawSvi:
    """Least squares to the mid vols in coordinates in which every slice is free of butterfly arbitrage."""
    w, weight = _targets(quotes)
    chosen = start or fit(quotes)
    return _named(quotes.tau_years, svi_free.fit(quotes.log_moneyness, w, weight, chosen.parameters))


def summarise(quotes: SliceQuotes, *, warm: RawSvi | None = None) -> SviSummary:
    """Fit a slice, freely if that is free of butterfly arbitrage, else in butterfly-free coordinates."""
    found = fit(quotes, warm=warm)
    if is_butterfly_free(found, quotes):
        return SviSummary(svi=found, butterfly_free=True, repaired=False)
    cured = fit_butterfly_free(quotes, start=found)
    return SviSummary(svi=cured, butterfly_free=is_butterfly_free(cured, quotes), repaired=True)


def is_butterfly_free(svi: RawSvi, quotes: SliceQuotes) -> bool:
    """Whether g ≥ 0 from half the lowest to 1.5 × the highest strike, with wing slopes ≤ 2."""
    low = float(quotes.log_moneyness[0]) + math.log(LOW_REACH)
    high = float(quotes.log_moneyness[-1]) + math.log(HIGH_REACH)
    return svi.meets_moment_bound and svi.smallest_g(low, high)[0] >= 0.0


def _targets(quotes: SliceQuotes) -> tuple[FloatArray, FloatArray]:
    """Total mid variance, and the weight that turns its errors into vol errors in half spreads."""
    half = np.maximum(0.5 * (quotes.ask_vol - quotes.bid_vol), 1e-5)
    mid = quotes.mid_vol
    return mid * mid * quotes.tau_years, (2.0 * mid * quotes.tau_years * half) ** -2.0


def _named(tau_years: float, found: FloatArray) -> RawSvi:
    a, b, rho, m, sigma = (float(value) for value in found)
    return RawSvi(tau_years=tau_years, a=a, b=b, rho=rho, m=m, sigma=sigma)
