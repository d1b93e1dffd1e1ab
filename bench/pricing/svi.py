"""Section: the SVI summary of a slice, cold and warm, against the usual five-parameter least squares."""

import math
from typing import Final

import numpy as np
from bench.pricing.section import Run, Section, Target
from bench.pricing.timing import fastest_s
from scipy.optimize import least_squares

from pricing.surface import svi_fit, svi_free
from pricing.surface.normalised import FloatArray

STRIKES: Final = (15, 25, 40)
_SLICES: Final = 20
_NOISE: Final = 0.003
_FAILED: Final = 1e-4
_N_FAILURES: Final = 3000
COLD: Final = "gammaflow, cold"
WARM: Final = "gammaflow, warm"
FREE: Final = "gammaflow, butterfly-free coordinates"
SCIPY: Final = "scipy least_squares, 5 parameters"

# ln(K/F), total variance, and the slice (a, b, ρ, m, σ) that made it.
Sample = tuple[FloatArray, FloatArray, FloatArray]


def section(run: Run) -> Section:
    """Time noisy slices, count misses on clean ones."""
    rng = np.random.default_rng(17)
    seconds = {n: _timed(run, [_sample(rng, n) for _ in range(_SLICES)]) for n in STRIKES}
    missed = {n: _missed(n, 300 if run.quick else _N_FAILURES) for n in (15, 40)}
    rows = [[name, *(cell for n in STRIKES for cell in _cells(seconds[n], name))] for name in (COLD, WARM, FREE, SCIPY)]
    cold, warm = (max(seconds[n][name] for n in STRIKES) for name in (COLD, WARM))
    return Section(
        title="SVI: one slice, µs",
        columns=["contender", *(text for n in STRIKES for text in (f"{n} strikes", "over ours, cold"))],
        rows=rows,
        targets=[
            Target(asked="cold ≤ 30 µs", measured=f"{1e6 * cold:.1f} µs at the slowest", met=cold <= 30e-6),
            Target(asked="warm ≤ 10 µs", measured=f"{1e6 * warm:.1f} µs at the slowest", met=warm <= 10e-6),
            Target(
                asked="cold misses (rmse > 1 bp) < 0.3 % of 3,000 clean random slices",
                measured=", ".join(f"{share:.2%} with {n} strikes" for n, share in missed.items()),
                met=max(missed.values()) < 0.003,
            ),
        ],
        notes=[
            (
                f"{_SLICES} crypto-like slices of 1 day to 18 months with {_NOISE:.1%} noise in vol; warm: from "
                "the clean slice's parameters."
            ),
            (
                "Cold: quasi-explicit search and Levenberg–Marquardt. The butterfly-free row is what a slice costs "
                "whose free fit has arbitrage."
            ),
        ],
    )


def _sample(rng: np.random.Generator, n: int) -> Sample:
    """Clean total variances of a random slice whose variance stays positive."""
    while True:
        tau = math.exp(rng.uniform(math.log(1 / 365), math.log(1.5)))
        level = rng.uniform(0.25, 1.2) ** 2 * tau
        sd = math.sqrt(level)
        rho, m = rng.uniform(-0.9, 0.9), rng.uniform(-0.6, 0.6) * sd
        sigma = math.exp(rng.uniform(math.log(0.15), math.log(2.0))) * sd
        b = rng.uniform(0.1, 1.0) * min(sd, 2.0 / (1.0 + abs(rho)))
        a = level - b * (-rho * m + math.hypot(m, sigma))
        if a + b * sigma * math.sqrt(1.0 - rho * rho) > 0.05 * level:
            k = np.linspace(-2.5, 2.5, n) * sd * rng.uniform(0.7, 1.3) + rng.uniform(-0.3, 0.3) * sd
            five = np.array([a, b, rho, m, sigma])
            return k, _variance(five, k), five


def _variance(five: FloatArray, k: FloatArray) -> FloatArray:
    a, b, rho, m, sigma = five
    return np.asarray(a + b * (rho * (k - m) + np.hypot(k - m, sigma)))


def _timed(run: Run, samples: list[Sample]) -> dict[str, float]:
    """Seconds per slice."""
    rng = np.random.default_rng(3)
    noisy = [(k, w * (1.0 + _NOISE * rng.standard_normal(k.size)) ** 2, five) for k, w, five in samples]
    calls = {
        COLD: lambda: [svi_fit.fit_cold(k, w, 1.0 / w) for k, w, _ in noisy],
        WARM: lambda: [svi_fit.fit_warm(k, w, 1.0 / w, five) for k, w, five in noisy],
        FREE: lambda: [svi_free.fit(k, w, 1.0 / w, five) for k, w, five in noisy],
        SCIPY: lambda: [_usual(k, w) for k, w, _ in noisy],
    }
    found = fastest_s(calls, run.repeats(7))
    return {name: value / len(noisy) for name, value in found.items()}


def _usual(k: FloatArray, w: FloatArray) -> FloatArray:
    """What is usually written: raw parameters in a box, numeric derivatives, one start."""
    start = [0.5 * float(np.min(w)), 0.1, 0.0, 0.0, 0.1]
    bounds = ([-1.0, 1e-6, -0.999, -2.0, 1e-4], [float(np.max(w)), 4.0, 0.999, 2.0, 5.0])
    weight = 1.0 / np.sqrt(w)

    def residuals(x: FloatArray) -> FloatArray:
        return np.asarray(weight * (_variance(x, k) - w))

    return np.asarray(least_squares(residuals, start, bounds=bounds).x)


def _missed(n: int, count: int) -> float:
    """Share of clean slices whose vols a cold fit misses by more than a basis point, rmse."""
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(count):
        k, w, five = _sample(rng, n)
        # A vol of 1 over one year is the unit; a slice's own deviation stands in for it.
        unit = math.sqrt(float(np.interp(0.0, k, w)))
        error = np.sqrt(np.maximum(_variance(svi_fit.fit_cold(k, w, 1.0 / w), k), 0.0)) - np.sqrt(_variance(five, k))
        missed += math.sqrt(float(np.mean(error**2))) / unit > _FAILED
    return missed / count


def _cells(seconds: dict[str, float], name: str) -> tuple[str, str]:
    return f"{1e6 * seconds[name]:,.1f}", f"{seconds[name] / seconds[COLD]:,.1f}×"
