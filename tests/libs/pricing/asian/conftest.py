"""An option on an average by a deterministic method, for what the references do not have."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial import chebyshev, legendre
from scipy.special import ndtr

from pricing.asian import rqmc
from pricing.asian.averaging import MINUTES_PER_YEAR, Averaging

rqmc.load_kernels()

DEGREE = 100
REACH = 9.5  # standard deviations on either side that are not certain
STEP_NODES = np.linspace(-8.5, 8.5, 73)
PIECE = legendre.leggauss(140)


@dataclass(frozen=True)
class Exact:
    price: float
    delta: float
    gamma: float


def exact_call(averaging: Averaging, *, forward: float, strike: float, vol: float) -> Exact:
    """Undiscounted call by backward recursion over the fixings, in one dimension.

    With y = (strike of the sum of the m coming prices) / (price now), its value over the price now is, under the
    measure of the price itself, g_m(y) = E[g_(m−1)(y·e^(−R) − 1)], R normal with mean v/2 and variance v, the step's.
    Each g is its payoff (m − y)⁺ and a smooth bump, held as a Chebyshev series; from now to the first fixing the payoff
    is integrated exactly and the bump by Gauss's rule, whose density is differentiated for delta and gamma.
    """
    m, n = averaging.n_left, averaging.n_fixings
    y = float(m * averaging.effective_strike(np.array([strike]))[0] / forward)
    v1 = vol**2 * averaging.first_years
    q = np.sqrt(v1)
    d = (np.log(m / y) + v1 / 2) / q
    f, f1, f2 = m * ndtr(d) - y * ndtr(d - q), -ndtr(d - q), density(d - q) / (y * q)
    if m > 1:
        bump, half = bump_after(m - 1, vol**2 * averaging.interval_years)
        near = y * np.exp(-v1 / 2 + 10.5 * q * np.array([-1.0, 1.0]))
        low, high = max(m - half, near[0]), min(m + half, near[1])
        middle = min(max(float(m), low), high)  # the bump has a kink there
        for start, width in ((low, middle - low), (middle, high - middle)):
            u, w = start + width * (PIECE[0] + 1) / 2, PIECE[1] * width / 2
            z = (np.log(u / y) + v1 / 2) / q
            weight = density(z) / (u * q) * bump(u - 1.0) * w
            f += weight.sum()
            f1 += (weight * z).sum() / (q * y)
            f2 += ((weight * (z * z - 1)).sum() / v1 - (weight * z).sum() / q) / y**2
    return Exact(price=forward * f / n, delta=(f - y * f1) / n, gamma=y * y * f2 / (forward * n))


@lru_cache(maxsize=64)
def bump_after(m: int, v: float) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Return g_m − payoff as a function of y, and half the width it lives on."""
    nodes = np.cos(np.pi * (np.arange(DEGREE) + 0.5) / DEGREE)
    to_series = np.cos(np.outer(np.arange(DEGREE), np.arccos(nodes))) * 2 / DEGREE
    to_series[0] /= 2
    weights = density(STEP_NODES) / density(STEP_NODES).sum()
    steps = np.exp(-(v / 2 + np.sqrt(v) * STEP_NODES))
    series, half = np.zeros(1), 1.0
    for left in range(1, m + 1):
        previous, width = series, half
        half = REACH * np.sqrt(v * left * (left + 1) * (2 * left + 1) / 6)
        y = left + half * nodes
        if left == 1:
            d = (-np.log(np.maximum(y, 1e-300)) + v / 2) / np.sqrt(v)
            value = ndtr(d) - y * ndtr(d - np.sqrt(v))
        else:
            u = np.outer(y, steps) - 1.0
            value = value_of(u, left - 1, previous, width) @ weights
        series = to_series @ value
    return (lambda y: value_of(y, m, series, half) - np.maximum(m - y, 0.0)), half


def value_of(y: np.ndarray, m: int, series: np.ndarray, half: float) -> np.ndarray:
    x = (y - m) / half
    return np.where(np.abs(x) < 1, chebyshev.chebval(np.clip(x, -1, 1), series), np.maximum(m - y, 0.0))


def density(z: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


@pytest.fixture(scope="session")
def exact() -> Callable[..., Exact]:
    """The deterministic method."""
    return exact_call


@dataclass(frozen=True)
class Reference:
    """A row of the independent table; ``value`` is price, delta, gamma, vega of the call."""

    id: str
    averaging: Averaging
    forward: float
    strike: float
    vol: float
    value: np.ndarray
    put: float

    @property
    def option(self) -> dict[str, float]:
        return {"forward": self.forward, "strike": self.strike, "vol": self.vol}


@pytest.fixture(scope="session")
def references(shared_data: Path) -> list[Reference]:
    """All rows."""
    with (shared_data.parent / "reference" / "asian_reference.csv").open() as file:
        return [reference(row) for row in csv.DictReader(file)]


def reference(row: dict[str, str]) -> Reference:
    n, n_past = int(row["n_fixings"]), int(row["n_past"])
    return Reference(
        id=row["id"],
        averaging=Averaging(
            tau_years=float(row["T_min"]) / MINUTES_PER_YEAR,
            window_years=n * float(row["dt_min"]) / MINUTES_PER_YEAR,
            n_fixings=n,
            n_past=n_past,
            past_average=float(row["past_avg"]) if n_past else None,
        ),
        forward=float(row["F"]),
        strike=float(row["K"]),
        vol=float(row["sigma"]),
        value=np.array([float(row[name]) for name in ("call", "delta_call", "gamma", "vega")]),
        put=float(row["put"]),
    )
