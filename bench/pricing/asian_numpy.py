"""Options on an average as one writes them with numpy: what our engine is compared with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from pricing.asian.chain import AsianGreeks

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Prices and greeks of a chain, with the standard error that the program says its prices have."""

    price: FloatArray
    delta: FloatArray
    gamma: FloatArray
    price_error: FloatArray

    def greeks(self) -> AsianGreeks:
        return AsianGreeks(
            price=self.price, delta=self.delta, gamma=self.gamma, vega_per_unit_vol=np.full_like(self.price, np.nan)
        )


def geometric_control(
    times: FloatArray, F: float, strikes: FloatArray, vol: float, is_call: BoolArray, *, paths: int
) -> Callable[[], Found]:
    """Textbook Monte Carlo: geometric average as control variate, pathwise delta, likelihood-ratio gamma."""

    def value() -> Found:
        normals = np.random.default_rng(0).standard_normal((paths, times.size))
        steps = np.sqrt(np.diff(times, prepend=0.0))
        logs = vol * np.cumsum(normals * steps, axis=1) - 0.5 * vol**2 * times
        average, geometric = F * np.exp(logs).mean(axis=1), F * np.exp(logs.mean(axis=1))
        score = normals[:, 0] / (vol * steps[0])
        rows = [
            _controlled(average, geometric, score, times, F, strike, vol, 1.0 if call else -1.0)
            for strike, call in zip(strikes, is_call, strict=True)
        ]
        price, delta, gamma, error = (np.array(column) for column in zip(*rows, strict=True))
        return Found(price=price, delta=delta, gamma=gamma, price_error=error)

    return value


def _controlled(  # noqa: PLR0917 - the terms of an option
    average: FloatArray,
    geometric: FloatArray,
    score: FloatArray,
    times: FloatArray,
    F: float,
    K: float,
    vol: float,
    sign: float,
) -> tuple[float, float, float, float]:
    """Price, delta, gamma and the standard error of the price."""
    mean = np.log(F) - 0.5 * vol**2 * times.mean()
    sd = vol * np.sqrt(np.minimum.outer(times, times).mean())
    level = np.exp(mean + 0.5 * sd**2)
    d1 = (np.log(level / K) + 0.5 * sd**2) / sd
    exact = sign * (level * ndtr(sign * d1) - K * ndtr(sign * (d1 - sd)))
    exact_delta = sign * level / F * ndtr(sign * d1)
    exact_gamma = level * np.exp(-0.5 * d1**2) / np.sqrt(2 * np.pi) / (F**2 * sd)
    in_money = (sign * (average - K) > 0).astype(float), (sign * (geometric - K) > 0).astype(float)
    payoff = sign * (in_money[0] * (average - K) - in_money[1] * (geometric - K))
    slope = sign * (in_money[0] * average - in_money[1] * geometric) / F
    bend = slope * (score - 1.0) / F
    return (
        exact + payoff.mean(),
        exact_delta + slope.mean(),
        exact_gamma + bend.mean(),
        payoff.std(ddof=1) / np.sqrt(payoff.size),
    )


def conditional(
    times: FloatArray, F: float, strikes: FloatArray, vol: float, is_call: BoolArray, *, paths: int
) -> Callable[[], Found]:
    """The conditional estimator without moments or control: every strike meets every fixing of every path."""
    covariance = np.minimum.outer(times, times)
    loading = covariance.mean(axis=1) / np.sqrt(covariance.mean())
    variances, axes = np.linalg.eigh(covariance - np.outer(loading, loading))
    components = (axes * np.sqrt(np.maximum(variances, 0.0)))[:, ::-1][:, :16]

    def value() -> Found:
        sets = [qmc.Sobol(16, scramble=True, rng=seed).random(paths // 16) for seed in range(16)]
        residual = ndtri(np.concatenate(sets)) @ components.T
        weights = np.exp(vol * residual - 0.5 * vol**2 * times) / times.size
        rows = [
            _one_strike(weights, vol * loading, F, strike, 1.0 if call else -1.0)
            for strike, call in zip(strikes, is_call, strict=True)
        ]
        price, delta, gamma, error = (np.array(column) for column in zip(*rows, strict=True))
        return Found(price=price, delta=delta, gamma=gamma, price_error=error)

    return value


def _one_strike(
    weights: FloatArray, loads: FloatArray, F: float, K: float, sign: float
) -> tuple[float, float, float, float]:
    k, z = K / F, np.full(weights.shape[0], np.log(K / F) / loads.mean())
    for _ in range(6):
        terms = weights * np.exp(np.outer(z, loads))
        z -= (terms.sum(axis=1) - k) / (terms @ loads)
    terms = weights * np.exp(np.outer(z, loads))
    partial = np.sum(weights * np.exp(0.5 * loads**2) * ndtr(sign * (loads - z[:, None])), axis=1)
    value = F * sign * (partial - k * ndtr(-sign * z))
    gamma = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / (terms @ loads) * k**2 / F
    of_sets = value.reshape(16, -1).mean(axis=1)
    return value.mean(), sign * partial.mean(), gamma.mean(), of_sets.std(ddof=1) / 4.0
