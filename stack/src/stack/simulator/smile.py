"""Implied vols: an SSVI surface, whose parameters keep it free of butterfly and calendar arbitrage.

Gatheral & Jacquier, "Arbitrage-free SVI volatility surfaces" (2014): total variance
w(k, θ) = θ/2 · (1 + ρφk + √((φk + ρ)² + 1 − ρ²)) with φ(θ) = η/(θ^γ (1 + θ)^(1−γ)); no static arbitrage if 0 < γ ≤ ½,
η(1 + |ρ|) ≤ 2 and θ increases in T. The level moves every expiry's θ by the same factor, which keeps the conditions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
GAMMA = 0.42
MIN_YEARS = 1.0 / (365 * 86_400)


@dataclass(frozen=True, slots=True)
class Smile:
    """Surface parameters: annual at-the-money variances (decimal²) at zero and infinite maturity, skew, curvature.

    ``mean_reversion`` per year. Raises ValueError when the parameters would admit arbitrage.
    """

    short_variance: float
    long_variance: float
    mean_reversion: float
    rho: float
    eta: float

    def __post_init__(self) -> None:
        if self.eta * (1 + abs(self.rho)) > 2:
            raise ValueError(f"smile: eta·(1+|rho|) is {self.eta * (1 + abs(self.rho)):.3f}, must be ≤ 2")
        if min(self.short_variance, self.long_variance) <= 0:
            raise ValueError("smile: short_variance and long_variance must be > 0")

    def vol(self, log_moneyness: Floats, years: Floats, level: float) -> Floats:
        """Return implied vols (decimal) at k = ln(K/F) and time ``years``; ``level`` scales all vols."""
        t = np.maximum(years, MIN_YEARS)
        kt = self.mean_reversion * t
        atm_variance = self.long_variance + (self.short_variance - self.long_variance) * -np.expm1(-kt) / kt
        theta = atm_variance * t * level * level
        x = self.eta / (theta**GAMMA * (1 + theta) ** (1 - GAMMA)) * log_moneyness
        w = 0.5 * theta * (1 + self.rho * x + np.sqrt((x + self.rho) ** 2 + 1 - self.rho**2))
        result: Floats = np.sqrt(w / t)
        return result


def draw_smile(rng: np.random.Generator, underlying: str) -> Smile:
    """Draw plausible parameters: vols of 35–55 % (ETH half as much again), mild negative skew."""
    scale = 1.5 if underlying == "ETH" else 1.0
    return Smile(
        short_variance=(scale * rng.uniform(0.35, 0.50)) ** 2,
        long_variance=(scale * rng.uniform(0.42, 0.55)) ** 2,
        mean_reversion=rng.uniform(2.0, 6.0),
        rho=rng.uniform(-0.35, -0.10),
        eta=rng.uniform(0.9, 1.3),
    )
