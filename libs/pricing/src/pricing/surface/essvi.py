"""eSSVI: three numbers per expiry, no butterflies, and no calendar arbitrage when fitted from short to long.

w(k) = θ/2·(1 + ρφk + √((φk + ρ)² + 1 − ρ²)) with ψ = θφ: at-the-money variance, slope and correlation of the slice
[1]. Too stiff for listed crypto smiles (about half of the quotes inside their spreads): kept for comparison.

References ---------- [1] S. Hendriks, C. Martini, "The extended SSVI volatility surface", J. Computational Finance
22(5) (2019) 25–39: the slice,
    and prop. 3.1 for two slices that do not cross.
[2] J. Gatheral, A. Jacquier (2014), theorem 4.2: ψ(1 + |ρ|) < 4 and ψ²(1 + |ρ|) ≤ 4θ exclude butterflies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import SliceQuotes
from pricing.surface.svi import RawSvi

_MARGIN = 0.9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Essvi:
    """One slice in eSSVI."""

    tau_years: float
    theta: float
    """total variance at the money"""
    psi: float
    rho: float

    @property
    def raw(self) -> RawSvi:
        """The same slice as raw SVI."""
        phi = self.psi / self.theta
        bar = math.sqrt(1.0 - self.rho**2)
        return RawSvi(
            tau_years=self.tau_years,
            a=0.5 * self.theta * bar * bar,
            b=0.5 * self.psi,
            rho=self.rho,
            m=-self.rho / phi,
            sigma=bar / phi,
        )

    @property
    def is_butterfly_free(self) -> bool:
        """Gatheral and Jacquier's sufficient conditions [2]."""
        wing = 1.0 + abs(self.rho)
        return self.psi * wing < 4.0 and self.psi**2 * wing <= 4.0 * self.theta

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        """Total implied variance σ²T at ln(K/F), (n,) → (n,)."""
        return self.raw.total_variance(log_moneyness)


def fit(quotes: SliceQuotes, *, before: Essvi | None = None) -> Essvi:
    """Least squares to the mid vols in half spreads; above ``before``, the next shorter slice, if it is given."""
    half = np.maximum(0.5 * (quotes.ask_vol - quotes.bid_vol), 1e-5)
    tau = quotes.tau_years
    level = quotes.atm_deviation**2
    base = 0.0 if before is None else before.theta

    def slice_of(x: FloatArray) -> tuple[Essvi, float]:
        theta = base + math.exp(min(x[0], 5.0))
        rho = 0.999 * math.tanh(x[1])
        low, high = _slope_range(theta, rho, before)
        shortfall = max(low / high - 1.0, 0.0)
        # Where the range is empty its lower end keeps the order in time as near as the butterfly bound allows.
        psi = high if shortfall else low + (high - low) / (1.0 + math.exp(-max(min(x[2], 30.0), -30.0)))
        return Essvi(tau_years=tau, theta=theta, psi=max(psi, 1e-9), rho=rho), shortfall

    def residuals(x: FloatArray) -> FloatArray:
        found, shortfall = slice_of(x)
        vol = np.sqrt(found.total_variance(quotes.log_moneyness) / tau)
        return np.append((vol - quotes.mid_vol) / half, 1e3 * shortfall)

    start = [math.log(max(level - base, 0.02 * level)), 0.0 if before is None else math.atanh(before.rho), 0.0]
    return slice_of(least_squares(residuals, start, method="trf", max_nfev=200).x)[0]


def fit_all(slices: Sequence[SliceQuotes]) -> list[Essvi]:
    """Fit slices from short to long, each above the one before."""
    out: list[Essvi] = []
    for quotes in sorted(slices, key=lambda one: one.tau_years):
        out.append(fit(quotes, before=out[-1] if out else None))
    return out


def _slope_range(theta: float, rho: float, before: Essvi | None) -> tuple[float, float]:
    """Admissible ψ of a slice: butterfly-free, and not crossing the slice before."""
    wing = 1.0 + abs(rho)
    high = _MARGIN * min(4.0 / wing, 2.0 * math.sqrt(theta / wing))
    if before is None:
        return 0.0, high
    ratio = max((1.0 + before.rho) / (1.0 + rho), (1.0 - before.rho) / (1.0 - rho))
    return before.psi * ratio, min(high, before.psi * theta / before.theta)
