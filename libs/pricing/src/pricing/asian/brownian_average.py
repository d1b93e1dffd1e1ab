"""Brownian motion at the fixings, split into the direction of its own average and what remains.

========  ==================================================================  =====================
symbol    meaning                                                             unit
========  ==================================================================  =====================
m         fixings still to come, i = 0 … m − 1                                none
t_i       their times, t_0 + i·h                                              years
W_i       standard Brownian motion at t_i                                     √years
z         the average of W_i over i, standardised                             none
b_i       Cov(W_i, z)                                                         √years
R_i       W_i − b_i·z, independent of z, of average 0                         √years
========  ==================================================================  =====================

All in closed form. From t_0 on the path is a random walk of step variance h; without its average it has the covariance
h·L⁺, L being the Laplacian of a path graph, whose eigenvectors are cosines e_k(i) = √(2/m)·cos(πk(i + ½)/m) with
eigenvalues λ_k = h/(4 sin²(πk/2m)) of h·L⁺. In them b has the coordinates β_k = −λ_k·e_k(0)/√v, v = Var(average), and
R the covariance diag(λ) − ββᵀ, whose eigenvectors are the principal components of R.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.asian.averaging import Averaging
from pricing.asian.gram_quadrature import mean_nodes
from pricing.black76 import FloatArray

MAX_MODES: Final = 16
"""Principal components kept. What the others add to a price is of second order in the residual and falls with the
fourth power of their number: at 16 it is below a hundredth of the standard error at 1,024 points (tests)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrownianAverage:
    """The split, at ``g`` nodes that stand for all fixings: averages over fixings are sums with ``weights``."""

    weights: FloatArray
    """shape (g,), their sum is 1"""
    loading: FloatArray
    """b at the nodes, √years, shape (g,)"""
    components: FloatArray
    """R = components @ ζ with ζ of ``d`` independent standard normals; √years, shape (g, d)"""

    @property
    def residual_variance(self) -> FloatArray:
        """Variance of R at the nodes, years, shape (g,)."""
        variance: FloatArray = np.sum(self.components**2, axis=1)
        return variance


def split(averaging: Averaging, max_modes: int = MAX_MODES) -> BrownianAverage:
    """Split the fixings still to come; at least one must be, and expiry must not be now."""
    m, h, t0 = averaging.n_left, averaging.interval_years, averaging.first_years
    i, weights = mean_nodes(m)
    variance = t0 + h * (m - 1) * (2 * m - 1) / (6 * m)
    loading = (t0 + h * i * (2 * m - 1 - i) / (2 * m)) / np.sqrt(variance)
    k = np.arange(1, min(m - 1, max_modes) + 1)
    modes = np.sqrt(2.0 / m) * np.cos(np.pi / m * np.outer(i + 0.5, k))
    spectrum = h / (4.0 * np.sin(0.5 * np.pi / m * k) ** 2)
    along = -spectrum * np.sqrt(2.0 / m) * np.cos(0.5 * np.pi / m * k) / np.sqrt(variance)
    variances, axes = np.linalg.eigh(np.diag(spectrum) - np.outer(along, along))
    scaled = axes[:, ::-1] * np.sqrt(np.maximum(variances[::-1], 0.0))
    return BrownianAverage(weights=weights, loading=loading, components=modes @ scaled)
