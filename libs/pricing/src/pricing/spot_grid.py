"""Gamma and vanna of a whole chain on a grid of spots: what GEX(S) and its roots are made of.

Sticky strike: when spot moves from S to S′ each forward moves with it, F′ = F·S′/S, and each option keeps its vol.

Deterministic: every element depends on its own (spot, option) only, so that a spot gives the same bits alone or in a
grid, and with any number of threads. Sums are taken in a fixed order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricing.black76 import FloatArray, log_moneyness, require_in_range
from pricing.chunks import in_chunks


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
    threads: int = 1,
) -> GammaVanna:
    """Undiscounted Black-76 gamma and vanna of each option at each spot S′, under sticky strike.

    ``spots`` has shape (n_spots,), USD; ``forward``, ``strike``, ``tau_years`` and ``vol`` have shape (n_options,) and
    belong to ``spot``. Calls and puts have the same gamma and vanna. Formulas: :func:`pricing.black76.black76`, the
    reference that this is tested against.

    Raises :class:`ValueError` naming the argument for anything that is not finite and positive.
    """
    from pricing import spot_grid_kernel as kernel  # noqa: PLC0415 - numba takes half a second to import

    ratios = _ratios(spots, spot)
    chain = _chain(forward=forward, strike=strike, tau_years=tau_years, vol=vol)
    greeks = np.empty((2, ratios.size, chain.shape[1]))
    in_chunks(lambda start, stop: kernel.fill(ratios, chain, start, stop, greeks), ratios.size, threads, multiple=1)
    return GammaVanna(gamma=greeks[0], vanna_per_unit_vol=greeks[1])


def gamma_sums_on_spots(
    *,
    spots: npt.ArrayLike,
    spot: float,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    tau_years: npt.ArrayLike,
    vol: npt.ArrayLike,
    weights: npt.ArrayLike,
    threads: int = 1,
) -> FloatArray:
    """Σ_i weights[i]·Γ_i(S′) at each spot S′, under sticky strike, without the matrix: shape (n_spots,).

    As :func:`gamma_vanna_on_spots`, for one book: ``weights`` has shape (n_options,), any sign. The options add up in
    their order.
    """
    from pricing import spot_grid_kernel as kernel  # noqa: PLC0415

    ratios = _ratios(spots, spot)
    chain = _chain(forward=forward, strike=strike, tau_years=tau_years, vol=vol)
    book = np.ascontiguousarray(weights, dtype=np.float64)
    if book.shape != chain.shape[1:]:
        raise ValueError(f"weights has shape {book.shape}, the chain {chain.shape[1:]}: pass one weight per option")
    chain[3] *= book
    sums = np.empty(ratios.size)
    in_chunks(
        lambda start, stop: kernel.add_up(ratios, chain, start, stop, sums), ratios.size, threads, kernel.SPOTS_BLOCK
    )
    return sums


def signed_sums(matrix: FloatArray, weights: FloatArray) -> FloatArray:
    """Σ_i weights[i]·matrix[j, i] for every row j; shapes (n_spots, n_options), (n_options,) → (n_spots,).

    Order of summation: four running sums over i mod 4, added as (0 + 1) + (2 + 3). Unlike a BLAS product it does not
    depend on the machine's threads or on the number of rows.
    """
    from pricing import spot_grid_kernel as kernel  # noqa: PLC0415

    out = np.empty(matrix.shape[0])
    kernel.row_sums(np.ascontiguousarray(matrix), np.ascontiguousarray(weights, dtype=np.float64), out)
    return out


def load_kernels() -> None:
    """Load the compiled kernels now instead of in the first call: for a service, before the first second it prices."""
    from pricing import spot_grid_kernel  # noqa: F401, PLC0415


def _ratios(spots: npt.ArrayLike, spot: float) -> FloatArray:
    return _positive("spots", spots) / _positive("spot", spot)


def _chain(**options: npt.ArrayLike) -> FloatArray:
    """Return what the kernels need of the options, shape (5, n_options): see :mod:`pricing.spot_grid_kernel`."""
    F, K, T, sigma = (_positive(name, values) for name, values in options.items())
    s = sigma * np.sqrt(T)
    return np.stack((log_moneyness(F, K), 1.0 / s, 0.5 * s, 1.0 / (F * s), 1.0 / sigma))


def _positive(name: str, values: npt.ArrayLike) -> FloatArray:
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    require_in_range(name, array, positive=True)
    if np.any(np.isnan(array)):
        raise ValueError(f"{name}[{int(np.argmax(np.isnan(array)))}] is NaN; leave unpriced options out of the book")
    return array
