"""SABR smiles: Hagan's expansion of implied vol, and the one of Andersen and Brotherton-Ratcliffe that is smooth at
any width.

dF = α̂·F^β dW, dα̂ = ν·α̂ dZ, dW dZ = ρ dt, α̂(0) = α. Neither expansion is free of arbitrage: kept for comparison
and for users who think in its parameters.

References
----------
[1] P. Hagan, D. Kumar, A. Lesniewski, D. Woodward, "Managing smile risk", Wilmott (Sept. 2002) 84–108: eq. 2.17a.
[2] F. Le Floc'h, G. Kennedy, "Explicit SABR calibration through simple expansions", SSRN 2467231 (2014), after
    L. Andersen, R. Brotherton-Ratcliffe, "Extended Libor market models with stochastic volatility" (2005).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import SliceQuotes

MIN_QUOTES: Final = 3
_AT_THE_MONEY: Final = 1e-7
_SMALLEST_VOL: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabr:
    """SABR parameters; with the forward as unit (F = 1) α is a vol for any β."""

    tau_years: float
    alpha: float
    beta: float
    rho: float
    nu: float
    forward: float = 1.0

    def __post_init__(self) -> None:
        rules = (
            ("tau_years", self.tau_years, self.tau_years > 0, "> 0"),
            ("alpha", self.alpha, self.alpha > 0, "> 0"),
            ("beta", self.beta, 0 <= self.beta <= 1, "inside [0, 1]"),
            ("rho", self.rho, -1 < self.rho < 1, "inside (-1, 1)"),
            ("nu", self.nu, self.nu >= 0, ">= 0"),
            ("forward", self.forward, self.forward > 0, "> 0"),
        )
        for name, value, good, rule in rules:
            if not good:
                raise ValueError(f"{name} = {value!r} of a SABR slice must be {rule}")

    def hagan_vol(self, strike: npt.ArrayLike) -> FloatArray:
        """Lognormal implied vol, per √year, at strikes in the forward's unit [1, eq. 2.17a]."""
        F, K = self.forward, np.asarray(strike, dtype=np.float64)
        one = 1.0 - self.beta
        L = np.log(F / K)
        mean = (F * K) ** (0.5 * one)
        width = 1.0 + (one * L) ** 2 / 24.0 + (one * L) ** 4 / 1920.0
        z = self.nu / self.alpha * mean * L
        drift = (
            (one * self.alpha / mean) ** 2 / 24.0
            + 0.25 * self.rho * self.beta * self.nu * self.alpha / mean
            + (2.0 - 3.0 * self.rho**2) * self.nu**2 / 24.0
        )
        return np.asarray(self.alpha / (mean * width) * self._z_over_chi(z) * (1.0 + drift * self.tau_years))

    def _z_over_chi(self, z: FloatArray) -> FloatArray:
        """z/χ(z), with its series 1 − ρz/2 + (2 − 3ρ²)z²/12 where the ratio has no digits."""
        root = np.sqrt(1.0 - 2.0 * self.rho * z + z * z)
        # χ's argument is 1 + (root − 1 + z)/(1 − ρ); root − 1 without its cancellation.
        excess = (z * z - 2.0 * self.rho * z) / (root + 1.0) + z
        chi = np.log1p(excess / (1.0 - self.rho))
        near = np.abs(z) < 1e-5
        series = 1.0 - 0.5 * self.rho * z + (2.0 - 3.0 * self.rho**2) * z * z / 12.0
        return np.where(near, series, z / np.where(near, 1.0, chi))

    def smooth_vol(self, strike: npt.ArrayLike) -> FloatArray:
        """Lognormal implied vol by the expansion of [2]: closer than Hagan's for long expiries and far strikes."""
        K = np.asarray(strike, dtype=np.float64)
        F = np.full(K.shape, self.forward)
        near = np.abs(np.log(K / F)) < _AT_THE_MONEY
        # At the forward both expansions agree; a strike off by 1e-4 keeps the ratios below defined.
        safe = np.where(near, F * 1.0001, K)
        one = 1.0 - self.beta
        distance = np.log(F / safe) if one == 0 else (F**one - safe**one) / one
        z = distance / self.alpha
        root = np.sqrt(1.0 - 2.0 * self.rho * self.nu * z + (self.nu * z) ** 2)
        x = z if self.nu == 0 else np.log((root - self.rho + self.nu * z) / (1.0 - self.rho)) / self.nu
        leading = np.log(F / safe) / x
        vol_forward = self.alpha * F**self.beta
        vol_strike = self.alpha * safe**self.beta * root
        slope = (F**self.beta - safe**self.beta) / (F - safe)
        first = -np.log(leading * np.sqrt(F * safe / (vol_forward * vol_strike))) / x**2
        drift = first + 0.25 * self.rho * self.nu * self.alpha * slope
        return np.where(near, self.hagan_vol(K), leading * (1.0 + drift * self.tau_years))

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        """Total implied variance σ²T at ln(K/F) by Hagan's expansion, (n,) → (n,)."""
        vol = np.maximum(self.hagan_vol(self.forward * np.exp(log_moneyness)), _SMALLEST_VOL)
        return vol * vol * self.tau_years


def fit(quotes: SliceQuotes, *, beta: float = 1.0) -> Sabr:
    """Least squares to the mid vols in half spreads over (α, ρ, ν), F = 1; β is not determined by one smile and is
    given."""
    if quotes.log_moneyness.size < MIN_QUOTES:
        raise ValueError(f"{quotes.expiry} has {quotes.log_moneyness.size} quotes, SABR needs {MIN_QUOTES}")
    half = np.maximum(0.5 * (quotes.ask_vol - quotes.bid_vol), 1e-5)
    tau = quotes.tau_years

    def smile(x: FloatArray) -> Sabr:
        return Sabr(
            tau_years=tau, alpha=math.exp(x[0]), beta=beta, rho=0.9999 * math.tanh(x[1]), nu=math.exp(min(x[2], 7.0))
        )

    def residuals(x: FloatArray) -> FloatArray:
        vol = np.sqrt(smile(x).total_variance(quotes.log_moneyness) / tau)
        return np.asarray((vol - quotes.mid_vol) / half)

    start = [math.log(quotes.atm_vol), 0.0, math.log(max(1.0, 0.7 / math.sqrt(tau)))]
    return smile(least_squares(residuals, start, method="lm").x)
