"""Greeks on a smile: level from the surface, slope and curvature from the calmer SVI summary.

Two answers to what vol does when the forward moves: a strike keeps its vol (sticky strike, Black-76 at that vol), or a
log-moneyness does (sticky moneyness). With σ = σ(k), k = ln(K/F), the second follows from the first by the chain rule,
∂σ/∂F = −σ′/F and ∂²σ/∂F² = (σ″ + σ′)/F².
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricing.black76 import black76
from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import Smile, smile_vol
from pricing.surface.svi import RawSvi


@dataclass(frozen=True, slots=True, kw_only=True)
class SmileGreeks:
    """Undiscounted values and greeks per coin of option, arrays (n,); units as in :class:`pricing.black76.Black76`."""

    vol: FloatArray
    price: FloatArray
    delta_sticky_strike: FloatArray
    delta_sticky_moneyness: FloatArray
    gamma_sticky_strike: FloatArray
    gamma_sticky_moneyness: FloatArray
    vega_per_unit_vol: FloatArray
    vanna_per_unit_vol: FloatArray
    volga_per_unit_vol2: FloatArray
    theta_per_year: FloatArray


def smile_greeks(
    *, smile: Smile, shape: RawSvi, forward: float, strike: npt.ArrayLike, is_call: npt.ArrayLike
) -> SmileGreeks:
    """Price and greeks of options of one expiry, ``strike`` and ``is_call`` (n,).

    ``smile`` gives the vols, ``shape`` their first and second derivative in k. Raises :class:`ValueError` for what
    :func:`pricing.black76.black76` refuses.
    """
    K = np.atleast_1d(np.asarray(strike, dtype=np.float64))
    vol = smile_vol(smile, np.log(K / forward))
    v = black76(forward=forward, strike=K, tau_years=smile.tau_years, vol=vol, is_call=is_call)
    slope, bend = vol_derivatives(shape, np.log(K / forward))
    by_forward = -slope / forward
    convexity = (bend + slope) / forward**2
    gamma = (
        v.gamma
        + 2.0 * v.vanna_per_unit_vol * by_forward
        + v.volga_per_unit_vol2 * by_forward**2
        + v.vega_per_unit_vol * convexity
    )
    return SmileGreeks(
        vol=vol,
        price=v.price,
        delta_sticky_strike=v.delta,
        delta_sticky_moneyness=v.delta + v.vega_per_unit_vol * by_forward,
        gamma_sticky_strike=v.gamma,
        gamma_sticky_moneyness=gamma,
        vega_per_unit_vol=v.vega_per_unit_vol,
        vanna_per_unit_vol=v.vanna_per_unit_vol,
        volga_per_unit_vol2=v.volga_per_unit_vol2,
        theta_per_year=v.theta_per_year,
    )


def vol_derivatives(shape: RawSvi, log_moneyness: FloatArray) -> tuple[FloatArray, FloatArray]:
    """∂σ/∂k and ∂²σ/∂k² of a slice, per √year, each (n,): σ = √(w/T)."""
    w, first, second = shape.derivatives(log_moneyness)
    root = np.sqrt(w * shape.tau_years)
    return first / (2.0 * root), (second / 2.0 - first * first / (4.0 * w)) / root
