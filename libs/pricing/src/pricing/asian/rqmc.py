"""Randomised quasi-Monte Carlo of options on an average, conditional on its main direction: prices, greeks, errors.

Given the residual of the path the option is known in closed form (:mod:`pricing.asian.conditional`); what is left to
simulate are the principal components of the residual, by scrambled Sobol points. The first-order effect of the residual
has a known mean, and is taken off as a control variate: the moments of the paths enter the estimate only by what they
do beyond the gradient at their mean. The leading components are drawn from a wider distribution and weighted
(importance sampling). Several independent scramblings give the standard error.

References
----------
[1] A. B. Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences", in: Monte Carlo and Quasi-Monte Carlo Methods in
    Scientific Computing, Springer (1995) 299–317: error estimates from independent scramblings.
[2] P. L'Ecuyer, C. Lemieux, "Recent advances in randomized quasi-Monte Carlo methods", in: Modeling Uncertainty,
    Kluwer (2002) 419–474: conditioning and control variates under it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pricing.asian.averaging import Averaging
from pricing.asian.brownian_average import BrownianAverage, split
from pricing.asian.chain import ROUNDING, AsianGreeks, Chain, chain, greeks, shaped, standard_errors
from pricing.asian.conditional import MEAN, OUTPUTS, SPREAD, START, VOL, VOL_SLOPE
from pricing.asian.curran import LowerBound, lower_bound, table_of_strikes
from pricing.asian.moments import LoadingRange, loading_range, path_moments, vol_nodes
from pricing.asian.sobol import scrambled_normals
from pricing.black76 import FloatArray

_WIDENED: Final = 2
"""Leading components drawn from a wider normal distribution …"""
_WIDTH: Final = 1.5
"""… of this standard deviation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How much is simulated: ``randomisations`` independent scramblings of a net of ``points``, 1,024 paths in all.

    ``points`` is a power of two; ``randomisations`` at least 2. Errors over standard errors follow Student's t with
    ``randomisations − 1`` degrees of freedom: with 32 of them 99.5 % are below three.
    """

    points: int = 32
    randomisations: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.randomisations < 2:
            raise ValueError(f"randomisations = {self.randomisations} is below 2; a standard error needs more than one")


@dataclass(frozen=True, slots=True, kw_only=True)
class AsianEstimate:
    """Estimates and their standard errors, each field an array of the broadcast shape of the inputs."""

    value: AsianGreeks
    standard_error: AsianGreeks


def rqmc(
    averaging: Averaging,
    *,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    vol: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    sampling: Sampling | None = None,
) -> AsianEstimate:
    """Price and greeks of options on one average (a whole expiry shares one set of paths), with standard errors.

    The forward F is that of every fixing: flat over the window, whose half hour leaves no room for a basis. Inputs
    broadcast; each option may have a vol of its own. Units as in :func:`pricing.black76.black76`. NaN in an input gives
    NaN in all outputs of that element.

    Where nothing is open any more the result is the discounted payoff with standard error 0: all fixings known, an
    effective strike of 0 or less, no time or no vol left. With one fixing to come it is m/n options of Black-76.

    Raises :class:`ValueError` naming the argument, the first bad element and the remedy.
    """
    options = chain(averaging, forward=forward, strike=strike, vol=vol, is_call=is_call, rate=rate)
    unit, errors = np.zeros((OUTPUTS, int(np.sum(options.live)))), np.zeros((OUTPUTS, int(np.sum(options.live))))
    call_is_out = np.zeros(unit.shape[1], dtype=np.bool_)
    if unit.shape[1]:
        parts = split(averaging)
        loadings = loading_range(parts, float(np.max(options.vol[options.live])))
        bound = lower_bound(options, parts, loadings)
        call_is_out = bound.call_is_out
        unit, errors = _estimate(options, parts, loadings, bound, sampling or Sampling())
    results = greeks(options, unit, call_is_out)
    return AsianEstimate(
        value=shaped(options, results),
        standard_error=shaped(options, standard_errors(options, results, errors)),
    )


def load_kernels() -> None:
    """Load what the first call would: compiled code from disk, or compiled anew after a change."""
    from pricing.asian import bound_kernel, conditional_kernel, moments_kernel  # noqa: F401, PLC0415


def _estimate(
    options: Chain, parts: BrownianAverage, loadings: LoadingRange, bound: LowerBound, sampling: Sampling
) -> tuple[FloatArray, FloatArray]:
    """Return estimates and standard errors of the live options, each of shape (4, live)."""
    unit, errors = bound.values.T.copy(), np.zeros((OUTPUTS, bound.root.size))
    near = bound.in_reach
    if parts.components.shape[1] and np.any(near):
        samples = _samples(options, parts, loadings, bound, sampling)
        unit[:, near] = np.mean(samples, axis=1).T
        errors[:, near] = (np.std(samples, axis=1, ddof=1) / np.sqrt(sampling.randomisations)).T
    return unit, np.hypot(errors, ROUNDING * bound.rounding.T)


def _samples(
    options: Chain, parts: BrownianAverage, loadings: LoadingRange, bound: LowerBound, sampling: Sampling
) -> FloatArray:
    """One estimate per randomisation of the options in reach, shape (n, randomisations, 4)."""
    from pricing.asian.conditional_kernel import fill_conditional  # noqa: PLC0415 - numba takes half a second to import

    near = bound.in_reach
    strikes = table_of_strikes(options, loadings)[near]
    strikes[:, [MEAN, SPREAD]] *= np.where(bound.call_is_out[near], 1.0, -1.0)[:, None]
    strikes[:, START] = np.abs(bound.root[near])
    normals = scrambled_normals(
        randomisations=sampling.randomisations,
        points=sampling.points,
        dimensions=parts.components.shape[1],
        seed=sampling.seed,
    )
    weight = _widen(normals)
    nodes, mix = vol_nodes(parts, strikes[:, VOL])
    paths = path_moments(parts, loadings.powers, nodes, normals)
    means = np.empty((strikes.shape[0], sampling.randomisations, OUTPUTS))
    fill_conditional(paths.level, paths.slope, mix, strikes, weight, means)
    total = np.mean(weight, axis=1)[:, None]
    level = np.tensordot(mix, _weighted(paths.level, weight), axes=1) - total * bound.mean.level[near, None, :]
    slope = np.tensordot(mix, _weighted(paths.slope, weight), axes=1) - total * bound.mean.slope[near, None, :]
    means += (1.0 - total) * bound.values[near, None, :]
    means -= np.einsum("nrk,nok->nro", level, bound.by_level[near])
    means[:, :, VOL_SLOPE] -= np.einsum("nrk,nk->nr", slope, bound.by_slope[near])
    return means


def _widen(normals: FloatArray) -> FloatArray:
    """Spread the leading components in place, and return the weights that undo it, shape (randomisations, points).

    What the control variate leaves is of second and fourth order in them. Unweighted it is largest where points are
    rarest, so that most sets are a little low and say too small an error; weighted it is bounded and fades there.
    """
    leading = normals[:, :_WIDENED]
    leading *= _WIDTH
    weight = np.prod(_WIDTH * np.exp(-0.5 * (1.0 - _WIDTH**-2) * leading**2), axis=1)
    return np.ascontiguousarray(weight)


def _weighted(moments: FloatArray, weight: FloatArray) -> FloatArray:
    """Mean over the points, shape (q, randomisations, terms)."""
    mean: FloatArray = np.mean(moments * weight[:, None, :], axis=3)
    return mean
