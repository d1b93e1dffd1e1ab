"""Gamma and vanna of a whole chain on a grid of spots: what GEX(S) and its roots are made of.

Sticky strike: when spot moves from S to S′ each forward moves with it, F′ = F·S′/S, and each option keeps its vol.

Deterministic: one thread, no fast-math, and every element depends on its own (spot, option) only, so that a spot gives
the same bits alone or in a grid. :func:`signed_sums` adds in a fixed order.
"""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from pricing.black76 import FloatArray, log_moneyness, require_in_range

_INV_SQRT_2PI = 0.3989422804014327
_DENSITY_ENDS = 38.6
"""Standard deviations beyond which the normal density is 0 in float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaVanna:
    """Greeks of ``n_options`` options at ``n_spots`` spots, each of shape (n_spots, n_options)."""

    gamma: FloatArray
    """∂²V/∂F′², per USD"""
    vanna_per_unit_vol: FloatArray
    """∂²V/∂F′∂σ, per 1.00 of vol"""


def gamma_vanna_on_spots(
    *,
    spots: npt.ArrayLike,
    spot: float,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    tau_years: npt.ArrayLike,
    vol: npt.ArrayLike,
) -> GammaVanna:
    """Undiscounted Black-76 gamma and vanna of each option at each spot S′, under sticky strike.

    ``spots`` has shape (n_spots,), USD; ``forward``, ``strike``, ``tau_years`` and ``vol`` have shape (n_options,) and
    belong to ``spot``. Calls and puts have the same gamma and vanna. Formulas: :func:`pricing.black76.black76`, the
    reference that this is tested against.

    Raises :class:`ValueError` naming the argument for anything that is not finite and positive.
    """
    arrays = {"spots": spots, "spot": spot, "forward": forward, "strike": strike, "tau_years": tau_years, "vol": vol}
    grid, S, F, K, T, sigma = (_positive(name, values) for name, values in arrays.items())
    ratio = grid / S
    sd = sigma * np.sqrt(T)
    gamma = np.empty((ratio.size, F.size))
    vanna = np.empty((ratio.size, F.size))
    x = log_moneyness(F, K)
    _fill(ratio, np.stack((x, sd, F, sigma)), gamma, vanna)
    return GammaVanna(gamma=gamma, vanna_per_unit_vol=vanna)


def signed_sums(matrix: FloatArray, weights: FloatArray) -> FloatArray:
    """Σ_i weights[i]·matrix[j, i] for every row j; shapes (n_spots, n_options), (n_options,) → (n_spots,).

    Order of summation: four running sums over i mod 4, added as (0 + 1) + (2 + 3). Unlike a BLAS product it does not
    depend on the machine's threads or on the number of rows.
    """
    out = np.empty(matrix.shape[0])
    _row_sums(matrix, np.ascontiguousarray(weights, dtype=np.float64), out)
    return out


def _positive(name: str, values: npt.ArrayLike) -> FloatArray:
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    require_in_range(name, array, positive=True)
    if np.any(np.isnan(array)):
        raise ValueError(f"{name}[{int(np.argmax(np.isnan(array)))}] is NaN; leave unpriced options out of the book")
    return array


# Signatures: compiled when the module is loaded, not in the first second that is priced.
@numba.njit("void(f8[::1], f8[:, ::1], f8[:, ::1], f8[:, ::1])", cache=True, error_model="numpy")
def _fill(ratio: FloatArray, chain: FloatArray, gamma: FloatArray, vanna: FloatArray) -> None:
    x, sd, forward, vol = chain
    for j in range(ratio.size):
        shift = np.log(ratio[j])
        for i in range(x.size):
            d1 = (shift + x[i]) / sd[i] + 0.5 * sd[i]
            if abs(d1) < _DENSITY_ENDS:
                phi = _INV_SQRT_2PI * np.exp(-0.5 * d1 * d1)
                gamma[j, i] = phi / (forward[i] * ratio[j] * sd[i])
                vanna[j, i] = -phi * (d1 - sd[i]) / vol[i]
            else:
                gamma[j, i] = 0.0
                vanna[j, i] = 0.0


@numba.njit("void(f8[:, ::1], f8[::1], f8[::1])", cache=True, error_model="numpy")
def _row_sums(matrix: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    n = weights.size
    whole = n - n % 4
    for j in range(matrix.shape[0]):
        a = b = c = d = 0.0
        for i in range(0, whole, 4):
            a += weights[i] * matrix[j, i]
            b += weights[i + 1] * matrix[j, i + 1]
            c += weights[i + 2] * matrix[j, i + 2]
            d += weights[i + 3] * matrix[j, i + 3]
        for i in range(whole, n):
            a += weights[i] * matrix[j, i]
        out[j] = (a + b) + (c + d)
